package session_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/hydrastore/hydrastore/session"
)

func TestPresetsAreGoodPolicies(t *testing.T) {
	t.Parallel()
	names := session.PresetNames()
	if len(names) != 8 || !slices.IsSorted(names) {
		t.Errorf("got %v, want eight in order", names)
	}
	for _, name := range names {
		p, found := session.Preset(name)
		if err := p.Validate(); err != nil || !found || p.Name != name {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if _, found := session.Preset("missing"); found {
		t.Error("found a preset that does not exist")
	}
}

// TestAsChangeNamesEveryRule: a rule that AsChange forgot would survive the application of a preset or a file.
func TestAsChangeNamesEveryRule(t *testing.T) {
	t.Parallel()
	change := reflect.ValueOf(session.DefaultPolicy().AsChange())
	for _, field := range reflect.VisibleFields(change.Type()) {
		if field.Anonymous {
			continue // its fields are visible too
		}
		name := field.Name
		if given := !change.FieldByIndex(field.Index).IsNil(); given != (name != "IfMatch") {
			t.Errorf("%s: given %v", name, given)
		}
	}
}
