package fsm_test

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

// unknownField is a field of a later release.
var unknownField = protowire.AppendVarint(protowire.AppendTag(nil, 900, protowire.VarintType), 1)

// wantStop applies an entry that must stop the node and change nothing.
func wantStop(t *testing.T, m *fsm.Machine, data []byte, sentence string) {
	t.Helper()
	before := snapshotOf(t, m)
	_, err := m.Apply(m.Index()+1, term, data)
	if err == nil || !strings.Contains(err.Error(), sentence) {
		t.Fatalf("got error %v, want one with %q", err, sentence)
	}
	if !bytes.Equal(snapshotOf(t, m), before) {
		t.Fatalf("%v: the state has changed", err)
	}
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// goldenDatum is an entry of a golden history, and the machine that has applied all of that history.
type goldenDatum struct {
	m     *fsm.Machine
	entry []byte
}

func goldenData(t *testing.T) (all []goldenDatum) {
	for _, l := range goldenLogs(t, func(string, []byte, *fsmpb.Result) {}) {
		for _, entry := range l.entries {
			all = append(all, goldenDatum{l.m, entry})
		}
	}
	return all
}

// Every message of every command is looked into: an unknown field anywhere stops the node.
func TestUnknownFieldAnywhereStopsTheNode(t *testing.T) {
	t.Parallel()
	visited := map[protoreflect.FullName]bool{}
	for _, golden := range goldenData(t) {
		data := golden.entry
		count := 0
		walk(decode(t, data).ProtoReflect(), func(protoreflect.Message) { count++ })
		for target := range count {
			entry, at := decode(t, data), 0
			walk(entry.ProtoReflect(), func(m protoreflect.Message) {
				if at == target {
					m.SetUnknown(unknownField)
					visited[m.Descriptor().FullName()] = true
				}
				at++
			})
			for _, b := range entry.Batches {
				b.Commands[0].Ignorable = false
			}
			wantStop(t, golden.m, marshal(t, entry), "does not know")
		}
	}
	messages := fsmpb.File_fsm_proto.Messages()
	for i := range messages.Len() {
		name := messages.Get(i).FullName()
		if !visited[name] && name.Name() != "Result" && name.Name() != "SessionState" && name.Name() != "Successor" {
			t.Errorf("no golden step holds a %s", name)
		}
	}
}

// Every text of every command is looked at: one that is not UTF-8 stops the node, as it would with any other decoder of protobuf.
func TestBrokenTextAnywhereStopsTheNode(t *testing.T) {
	t.Parallel()
	broken := map[protoreflect.FullName]bool{}
	for _, golden := range goldenData(t) {
		data := golden.entry
		count := 0
		walkTexts(decode(t, data).ProtoReflect(), func(protoreflect.FullName, func(string)) { count++ })
		for target := range count {
			entry, at := decode(t, data), 0
			walkTexts(entry.ProtoReflect(), func(name protoreflect.FullName, set func(string)) {
				if at == target {
					set("a\xffn")
					broken[name] = true
				}
				at++
			})
			if entry.Batches[0].Commands[0].Kind == nil {
				continue // whatever else it holds
			}
			bytes, err := entry.MarshalVT() // the other one refuses to
			if err != nil {
				t.Fatal(err)
			}
			wantStop(t, golden.m, bytes, "not UTF-8")
		}
	}
	messages := fsmpb.File_fsm_proto.Messages()
	for i := range messages.Len() {
		m := messages.Get(i)
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			if f.Kind() == protoreflect.StringKind && !broken[f.FullName()] && m.Name() != "Result" && m.Name() != "SessionState" {
				t.Errorf("no golden step has a %s", f.FullName())
			}
		}
	}
}

// walkTexts visits every text within m that is not empty.
func walkTexts(m protoreflect.Message, visit func(name protoreflect.FullName, set func(string))) {
	walk(m, func(m protoreflect.Message) {
		for i := range m.Descriptor().Fields().Len() {
			f := m.Descriptor().Fields().Get(i)
			if f.Kind() != protoreflect.StringKind || !m.Has(f) {
				continue
			}
			if !f.IsList() {
				visit(f.FullName(), func(text string) { m.Set(f, protoreflect.ValueOfString(text)) })
				continue
			}
			list := m.Get(f).List()
			for j := range list.Len() {
				visit(f.FullName(), func(text string) { list.Set(j, protoreflect.ValueOfString(text)) })
			}
		}
	})
}

func decode(t *testing.T, data []byte) *fsmpb.Entry {
	t.Helper()
	var entry fsmpb.Entry
	if err := proto.Unmarshal(data, &entry); err != nil {
		t.Fatal(err)
	}
	return &entry
}

// walk visits m and all messages in it.
func walk(m protoreflect.Message, visit func(protoreflect.Message)) {
	visit(m)
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		if f.Message() == nil || !m.Has(f) {
			continue
		}
		if !f.IsList() {
			walk(m.Get(f).Message(), visit)
			continue
		}
		for j := range m.Get(f).List().Len() {
			walk(m.Get(f).List().Get(j).Message(), visit)
		}
	}
}

func TestEntriesThatStopTheNode(t *testing.T) {
	t.Parallel()
	unknown := &fsmpb.Command{}
	unknown.ProtoReflect().SetUnknown(unknownField)
	entry := func(change func(*fsmpb.Entry)) []byte {
		e := &fsmpb.Entry{FormatLevel: 1, ClockMs: start, Epoch: term, Batches: []*fsmpb.Batch{{Commands: []*fsmpb.Command{create(vouched(1, "ann"))}}}}
		change(e)
		return marshal(t, e)
	}
	for name, c := range map[string]struct {
		data     []byte
		sentence string
	}{
		"garbage":         {[]byte("\xff\xfe garbage"), "no protobuf entry"},
		"empty":           {nil, "format level 0"},
		"cut off":         {entry(func(*fsmpb.Entry) {})[:20], "no protobuf entry"},
		"too long":        {make([]byte, fsm.MaxEntryBytes+1), "at most"},
		"level 0":         {entry(func(e *fsmpb.Entry) { e.FormatLevel = 0 }), "format level 0"},
		"later level":     {entry(func(e *fsmpb.Entry) { e.FormatLevel = fsm.SupportedFormatLevel + 1 }), "install a newer release"},
		"negative clock":  {entry(func(e *fsmpb.Entry) { e.ClockMs = -1 }), "clock"},
		"endless clock":   {entry(func(e *fsmpb.Entry) { e.ClockMs = fsm.MaxClockMS + 1 }), "clock"},
		"too many ends":   {entry(func(e *fsmpb.Entry) { e.Ends = fsm.MaxEndsOfEntry + 1 }), "at most 4096"},
		"unknown command": {entry(func(e *fsmpb.Entry) { e.Batches[0].Commands = append(e.Batches[0].Commands, unknown) }), "does not know"},
		"raise too far": {entry(func(e *fsmpb.Entry) {
			e.Batches[0].Commands = append(e.Batches[0].Commands, &fsmpb.Command{Kind: &fsmpb.Command_SetFormatLevel{
				SetFormatLevel: &fsmpb.SetFormatLevel{Level: fsm.SupportedFormatLevel + 1}}})
		}), "install a newer release"},
		"too many commands": {entry(func(e *fsmpb.Entry) {
			e.Batches[0].Commands = make([]*fsmpb.Command, fsm.MaxEntryCommands+1)
			for i := range e.Batches[0].Commands {
				e.Batches[0].Commands[i] = &fsmpb.Command{Ignorable: true}
			}
		}), "commands"},
		"broken text": {bytes.Replace(entry(func(*fsmpb.Entry) {}), []byte("ann"), []byte("a\xffn"), 1), "no protobuf entry"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t, fsm.Options{})
			l.must(create(vouched(9, "bob")))
			wantStop(t, l.m, c.data, c.sentence)
		})
	}
}

func TestAnIgnorableCommandOfALaterReleaseDoesNothing(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	c := &fsmpb.Command{Ignorable: true}
	c.ProtoReflect().SetUnknown(unknownField)
	results := l.apply(c, create(vouched(1, "ann"))).Batches[0].Results
	if results[0].Code != 0 || results[0].Payload != nil || results[1].GetSession() == nil {
		t.Fatalf("got %v", results)
	}
}

func TestAnEntryOfAnotherEpochDoesNothing(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(create(vouched(1, "ann")))
	data := encode(t, start+3600_000, revokeKey(1), create(vouched(2, "bob")))
	applied, err := l.m.Apply(l.index+1, term+1, data)
	if err != nil || !applied.Ignored || applied.Batches != nil || applied.ClockMS != start {
		t.Fatalf("got %+v, %v", applied, err)
	}
	if _, ok := l.m.SessionByKey(keyOf(1)); !ok {
		t.Fatal("it was applied")
	}
	if _, ok := l.m.SessionByKey(keyOf(2)); ok || l.m.ClockMS() != start || l.m.Index() != l.index+1 {
		t.Fatalf("it was applied: clock %d, index %d", l.m.ClockMS(), l.m.Index())
	}
	if _, err := l.m.Apply(l.index+1, term, data); err == nil {
		t.Fatal("an index was applied twice")
	}
}

func TestTheClockNeverGoesBack(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.apply()
	l.clock -= 10_000
	if applied := l.apply(); applied.ClockMS != start || l.m.ClockMS() != start {
		t.Fatalf("the clock is %d", applied.ClockMS)
	}
}
