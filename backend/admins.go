package backend

import (
	"context"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// Somebody stays admin, though each admin is a record of its own: the cluster's record lists names, and whoever stands there is one and stays one until the list was
// shortened. So an end of an admin writes the list after it has read the user's record and before it writes that; and who is put into the list has its record
// written anew, as it is, after the list was read and before it is written. Of an end and an enlisting that overlap one comes too late and begins anew. Who is an admin
// and does not stand there, because a server has ended in between, is enlisted by the sweep.

// resign takes a name out of the list of admins, unless no other one in it is an admin. It writes the list also if the name does not stand there: somebody may be
// about to put it in.
func (s *Service) resign(ctx context.Context, name string) error {
	return s.changeCluster(ctx, func(c *clusterRecord, _ int64) error {
		c.Admins = slices.DeleteFunc(c.Admins, func(admin string) bool { return admin == name })
		others := make([]Name, len(c.Admins))
		for i, admin := range c.Admins {
			others[i] = userName(admin)
		}
		snapshot, err := s.read(ctx, others...)
		if err != nil {
			return err
		}
		for _, r := range snapshot.Records {
			var u userRecord
			if r.Version != "" && decode(r.Value, &u) == nil && u.isAdmin() {
				return nil
			}
		}
		return session.ErrLastAdmin()
	})
}

// enlistAdmin puts a name into the list of admins, if it is one. When that fails the sweep does it.
func (s *Service) enlistAdmin(ctx context.Context, name string) {
	_ = s.changeCluster(ctx, func(c *clusterRecord, _ int64) error {
		if slices.Contains(c.Admins, name) {
			return errKeep
		}
		u, err := s.readUser(ctx, name)
		if err != nil || !u.user.isAdmin() {
			return orKeep(err)
		}
		if _, err := s.put(ctx, userName(name), u.user, u.at, time.Time{}); err != nil { // an end that is under way comes too late now
			return err
		}
		c.Admins = append(c.Admins, name)
		slices.Sort(c.Admins)
		return nil
	})
}
