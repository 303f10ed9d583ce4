package api

import (
	"slices"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/api/internal/strictjson"
	"github.com/hydrastore/hydrastore/session"
)

// The decoders know exactly the members that openapi.yaml gives the bodies; a test holds them to it. They judge form
// alone: what is a good name, password or timer is the service's to say.

// maxListElements bounds roles and policies before the service judges them.
const maxListElements = 64

// member is one member that a body may have, and where its value goes.
type member struct {
	name  string
	store func(v strictjson.Value) error
}

// decodeMembers reads a body that may have these members and must have the required one, if any.
func decodeMembers(body []byte, required string, known ...member) error {
	complete := required == ""
	err := strictjson.ReadObject(body, func(name string, v strictjson.Value) error {
		at := slices.IndexFunc(known, func(m member) bool { return m.name == name })
		if at < 0 {
			return v.Errorf("unknown member; this body takes %s", names(known))
		}
		complete = complete || name == required
		return known[at].store(v)
	})
	if err != nil || complete {
		return err
	}
	return session.Invalid(required, "is needed")
}

func names(known []member) string {
	var list []string
	for _, m := range known {
		list = append(list, m.name)
	}
	return strings.Join(list, ", ")
}

func text(name string, to *string) member {
	return member{name, func(v strictjson.Value) (err error) { *to, err = v.Text(); return err }}
}

func boolean(name string, to *bool) member {
	return member{name, func(v strictjson.Value) (err error) { *to, err = v.Boolean(); return err }}
}

func seconds(name string, to *time.Duration) member {
	return member{name, func(v strictjson.Value) (err error) { *to, err = v.Seconds(); return err }}
}

func whole(name string, to *int) member {
	return member{name, func(v strictjson.Value) (err error) { *to, err = v.Whole(); return err }}
}

func texts(name string, to *[]string) member {
	return member{name, func(v strictjson.Value) (err error) { *to, err = v.Texts(maxListElements); return err }}
}

func roles(name string, to *[]session.Role) member {
	return member{name, func(v strictjson.Value) error {
		list, err := v.Texts(maxListElements)
		*to = make([]session.Role, len(list))
		for i, role := range list {
			(*to)[i] = session.Role(role)
		}
		return err
	}}
}

// optional decodes into a new value, and leaves *to nil when the member is not there.
func optional[T any](of func(string, *T) member, name string, to **T) member {
	return member{name, func(v strictjson.Value) error {
		*to = new(T)
		return of(name, *to).store(v)
	}}
}

func attributes(name string, to *session.Attributes) member {
	return member{name, func(v strictjson.Value) error {
		*to = make(session.Attributes)
		return v.Object(func(name string, v strictjson.Value) error {
			(*to)[name] = v.Raw()
			return nil
		})
	}}
}
