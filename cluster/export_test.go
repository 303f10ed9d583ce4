package cluster

// WaitingReads returns how many callers wait for a round of c's confirmer.
func WaitingReads(c *Cluster) int {
	c.confirmer.mu.Lock()
	defer c.confirmer.mu.Unlock()
	n := 0
	for _, r := range []*round{c.confirmer.now, c.confirmer.next} {
		if r != nil {
			n += r.members
		}
	}
	return n
}

// ConfiguredAddress returns id's address in Raft's configuration.
func ConfiguredAddress(c *Cluster, id string) string {
	s, _ := c.server(id)
	return string(s.Address)
}
