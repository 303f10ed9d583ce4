package faircom

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/api/internal/strictjson"
	"github.com/hydrastore/hydrastore/session"
)

// settingPrefix begins the names of reserved attributes of this protocol; what follows is FairCom's word.
const settingPrefix = Name + "."

const (
	settingDescription     = "description"
	settingResponseOptions = "defaultResponseOptions"
	settingCursorTimeout   = "idleCursorTimeoutSeconds"
)

// settings are what the parameters of createSession and alterSession say of the session.
type settings struct {
	kept map[string]json.RawMessage // by FairCom's name; null = as by default
	// idle is the session's idle timeout, nil when nothing is said. neverIdle: the value that permanent sessions report was given.
	idle      *time.Duration
	neverIdle bool
	permanent *bool
}

// takers say how each parameter is read.
func (s *settings) takers() map[string]func(strictjson.Value) error {
	s.kept = map[string]json.RawMessage{}
	takers := map[string]func(strictjson.Value) error{
		settingDescription:             s.keep(settingDescription, ofText(MaxDescriptionBytes)),
		settingResponseOptions:         s.keep(settingResponseOptions, ofOptions),
		settingCursorTimeout:           s.keep(settingCursorTimeout, ofSeconds),
		"idleConnectionTimeoutSeconds": s.takeIdle,
		"permanentSession":             s.takePermanent,
	}
	for _, name := range []string{"defaultApi", "defaultDebug", "defaultDatabaseName", "defaultOwnerName", "defaultBinaryFormat", "defaultVariantFormat"} {
		takers[name] = s.keep(name, ofText(MaxSettingBytes))
	}
	return takers
}

func names(takers map[string]func(strictjson.Value) error) string {
	return strings.Join(slices.Sorted(maps.Keys(takers)), ", ")
}

// keep stores a value that check has judged; null takes the default again.
func (s *settings) keep(name string, check func(strictjson.Value) error) func(strictjson.Value) error {
	return func(v strictjson.Value) error {
		if v.Kind() != strictjson.Null {
			if err := check(v); err != nil {
				return err
			}
		}
		s.kept[name] = v.Raw()
		return nil
	}
}

func ofText(most int) func(strictjson.Value) error {
	return func(v strictjson.Value) error {
		_, err := bounded(v, most)
		return err
	}
}

func ofSeconds(v strictjson.Value) error {
	n, err := v.Whole()
	if err == nil && n < 0 {
		err = v.Errorf("must not be negative")
	}
	return err
}

// ofOptions reads defaultResponseOptions, whose members are names of formats and flags.
func ofOptions(v strictjson.Value) error {
	return v.Object(func(name string, v strictjson.Value) error {
		switch name {
		case "binaryFormat", "dataFormat", "numberFormat", "variantFormat":
			_, err := bounded(v, MaxSettingBytes)
			return err
		case "includeBookmarks":
			_, err := v.Boolean()
			return err
		}
		return v.Errorf("unknown member; there are binaryFormat, dataFormat, numberFormat, variantFormat and includeBookmarks")
	})
}

func (s *settings) takeIdle(v strictjson.Value) error {
	if v.Kind() == strictjson.Null {
		return nil
	}
	n, err := v.Whole()
	switch {
	case err != nil:
		return err
	case n == permanentIdleSeconds:
		s.neverIdle = true
		return nil
	case n < 0 || time.Duration(n)*time.Second > session.MaxTimeout:
		return v.Errorf("must be 0 (never), or seconds up to %.0f", session.MaxTimeout.Seconds())
	}
	idle := time.Duration(n) * time.Second
	s.idle = &idle
	return nil
}

func (s *settings) takePermanent(v strictjson.Value) error {
	if v.Kind() == strictjson.Null {
		return nil
	}
	permanent, err := flag(v)
	s.permanent = &permanent
	return err
}

// reserved gives the settings the names under which sessions keep them.
func (s *settings) reserved() session.AttributePatch {
	patch := make(session.AttributePatch, len(s.kept))
	for name, value := range s.kept {
		patch[settingPrefix+name] = value
	}
	return patch
}
