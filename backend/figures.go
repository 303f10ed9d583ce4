package backend

import "github.com/hydrastore/hydrastore/auth"

// Figures are told what a Service does, for metrics. Its functions must not block; nil ones are not called.
type Figures struct {
	Authenticated func(authenticator string, o auth.Outcome)
	Password      func(err error)           // the outcome of an attempt
	Use           func(touch string)        // none, async, sync
	Ended         func(cause string, n int) // sessions
	Retry         func()                    // a write was in vain, because another one came first
	Elsewhere     func(binding string)
}

func (f Figures) authenticated(authenticator string, o auth.Outcome) {
	if f.Authenticated != nil {
		f.Authenticated(authenticator, o)
	}
}

func (f Figures) password(err error) {
	if f.Password != nil {
		f.Password(err)
	}
}

func (f Figures) use(d dueness) {
	if f.Use != nil {
		f.Use([...]string{touchNone: "none", touchAsync: "async", touchSync: "sync"}[d])
	}
}

func (f Figures) ended(cause string, n int) {
	if f.Ended != nil && n > 0 {
		f.Ended(cause, n)
	}
}

func (f Figures) retry() {
	if f.Retry != nil {
		f.Retry()
	}
}

func (f Figures) elsewhere(binding string) {
	if f.Elsewhere != nil {
		f.Elsewhere(binding)
	}
}
