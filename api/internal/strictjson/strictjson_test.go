package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hydrastore/hydrastore/api/internal/strictjson"
)

func ignore(string, strictjson.Value) error { return nil }

func TestPlaces(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", strictjson.MaxDepth)
	for _, test := range []struct{ body, field, want string }{
		{"", "", "line 1, column 1: the body is empty; a JSON object should be here"},
		{"\n\n x", "", "line 3, column 2: a JSON object should be here"},
		{"{\n\"a\" 1}", "a", "line 2, column 5: a colon should be here"},
		{`{"a":}`, "a", "line 1, column 6: no JSON value begins like this"},
		{`{"a":`, "a", "line 1, column 6: the text ends where a value should be"},
		{`{"a":1 "b":2}`, "", "line 1, column 8: a comma or '}' should be here"},
		{`{"a":[1 2]}`, "a", "line 1, column 9: a comma or ']' should be here"},
		{`{"a":1,}`, "", "line 1, column 8: a name in double quotes should be here"},
		{`{a:1}`, "", "line 1, column 2: a name in double quotes should be here"},
		{`{"a":1,"b":{"c":1,"c":2}}`, "b.c", "line 1, column 19: given twice in one object"},
		{`{"a":1,"\u0061":2}`, "a", "line 1, column 8: given twice in one object"},
		{"{\"a\":\"\xc3\"}", "a", "line 1, column 7: not valid UTF-8"},
		{"{\"a\":\"\xed\xa0\x80\"}", "a", "line 1, column 7: not valid UTF-8"},
		{`{"a":"\ud800"}`, "a", "line 1, column 7: half of a surrogate pair is no character"},
		{`{"a":"\ud800\ud800"}`, "a", "line 1, column 7: half of a surrogate pair is no character"},
		{`{"a":"\udc00\ud800"}`, "a", "line 1, column 7: half of a surrogate pair is no character"},
		{`{"a":"\x"}`, "a", "line 1, column 7: no JSON string knows this escape"},
		{`{"a":"\u00g0"}`, "a", "line 1, column 7: no JSON string knows this escape"},
		{"{\"a\":\"\n\"}", "a", "line 1, column 7: a control character must be written as an escape"},
		{`{"a":"`, "a", "line 1, column 7: the text ends within a string"},
		{`{"a":"\`, "a", "line 1, column 7: the text ends within a string"},
		{`{"a":01}`, "", "line 1, column 7: a comma or '}' should be here"},
		{`{"a":-}`, "a", "line 1, column 7: a digit should be here"},
		{`{"a":1.}`, "a", "line 1, column 8: a digit should be here"},
		{`{"a":1e+}`, "a", "line 1, column 9: a digit should be here"},
		{`{"a":+1}`, "a", "line 1, column 6: no JSON value begins like this"},
		{`{"a":NaN}`, "a", "line 1, column 6: no JSON value begins like this"},
		{`{"a":nul}`, "a", "line 1, column 6: no JSON value begins like this"},
		{`{"a":1}x`, "", "line 1, column 8: more text follows the JSON object"},
		{`{"a":` + deep, "a", fmt.Sprintf("line 1, column %d: nested more than 64 levels deep", 5+strictjson.MaxDepth)},
		{`{"` + strings.Repeat("ä", 50) + `":}`, strings.Repeat("ä", 32) + "…", "line 1, column 105: no JSON value begins like this"},
	} {
		err := strictjson.ReadObject([]byte(test.body), ignore)
		var wrong *strictjson.Error
		if !errors.As(err, &wrong) || wrong.Error() != test.want || wrong.Field != test.field {
			t.Errorf("%q: got %+v, want field %q, %q", test.body, err, test.field, test.want)
		}
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	const body = ` {"text":"a\"\\\/\b\f\n\r\tä\u00e4\ud83d\ude42","yes":true,"no":false,"half":0.5,"ms":1.001,"exp":1e2,"list":["a","\u0062"],"none":[],"in":{"x":{"y":[1,{}]}}} `
	got := map[string]any{}
	err := strictjson.ReadObject([]byte(body), func(name string, v strictjson.Value) (err error) {
		switch name {
		case "text":
			got[name], err = v.Text()
		case "yes", "no":
			got[name], err = v.Boolean()
		case "half", "ms", "exp":
			got[name], err = v.Seconds()
		case "list", "none":
			var list []string
			list, err = v.Texts(2)
			got[name] = fmt.Sprint(len(list), list)
		case "in":
			err = v.Object(func(inner string, v strictjson.Value) error {
				got[v.Field] = string(v.Raw())
				return nil
			})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"text": "a\"\\/\b\f\n\r\tää🙂", "yes": true, "no": false, "half": 500 * time.Millisecond,
		"ms": 1001 * time.Millisecond, "exp": 100 * time.Second, "list": "2 [a b]", "none": "0 []", "in.x": `{"y":[1,{}]}`}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: got %#v, want %#v", name, got[name], value)
		}
	}
}

// TestManyNames: repeated names are found in objects that outgrow the small set.
func TestManyNames(t *testing.T) {
	t.Parallel()
	var body strings.Builder
	body.WriteString("{")
	for i := range 100 {
		fmt.Fprintf(&body, `"n%d":1,`, i)
	}
	if err := strictjson.ReadObject([]byte(body.String()+`"x":1}`), ignore); err != nil {
		t.Error(err)
	}
	for _, repeated := range []int{0, 15, 16, 17, 99} {
		err := strictjson.ReadObject(fmt.Appendf(nil, `%s"n%d":1}`, body.String(), repeated), ignore)
		if err == nil || !strings.Contains(err.Error(), "given twice") {
			t.Errorf("n%d: got %v", repeated, err)
		}
	}
}

func TestRefusalOfTheCallerIsReturned(t *testing.T) {
	t.Parallel()
	refusal := errors.New("no")
	calls := 0
	err := strictjson.ReadObject([]byte(`{"a":1,"b":2}`), func(string, strictjson.Value) error {
		calls++
		return refusal
	})
	if err != refusal || calls != 1 {
		t.Errorf("got %v after %d calls", err, calls)
	}
}

// FuzzReadObject: whatever is accepted is JSON to encoding/json too, with the same members, and valid UTF-8.
func FuzzReadObject(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1}`, `{"a":"\ud83d\ude42","b":[1.5e-3,null,{"c":true}]}`, "{\"a\":\"\xff\"}", `{"a":1,"a":2}`, ` {"":[]} `, `{"a":"\u0000"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got := map[string]string{}
		err := strictjson.ReadObject(body, func(name string, v strictjson.Value) error {
			got[name] = string(v.Raw())
			if text, err := v.Text(); err == nil {
				var same string
				if err := json.Unmarshal(v.Raw(), &same); err != nil || same != text {
					t.Errorf("text %q, encoding/json has %q, %v", text, same, err)
				}
			}
			_, _ = v.Seconds()
			_, _ = v.Texts(3)
			return nil
		})
		if err != nil {
			var wrong *strictjson.Error
			if !errors.As(err, &wrong) || wrong.Line < 1 || wrong.Column < 1 || !utf8.ValidString(wrong.Field) {
				t.Errorf("got %#v", err)
			}
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(body, &want); err != nil || !utf8.Valid(body) {
			t.Fatalf("accepted %q, encoding/json says %v", body, err)
		}
		if len(got) != len(want) {
			t.Fatalf("got %d members, want %d", len(got), len(want))
		}
		for name, raw := range want {
			if got[name] != string(raw) {
				t.Errorf("%q: got %q, want %q", name, got[name], raw)
			}
		}
	})
}

func TestElementsAndKinds(t *testing.T) {
	t.Parallel()
	const kinds = `{"a":[null,true,false,-1,2.5,"s",[1],{"b":2}]}`
	var got string
	read := func(body string, most int, element func(v strictjson.Value) error) error {
		return strictjson.ReadObject([]byte(body), func(_ string, v strictjson.Value) error { return v.Elements(most, element) })
	}
	if err := read(kinds, 8, func(v strictjson.Value) error {
		got += v.Field + string(byte(v.Kind())) + string(v.Raw()) + " "
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := `a[0]nnull a[1]ttrue a[2]tfalse a[3]0-1 a[4]02.5 a[5]""s" a[6][[1] a[7]{{"b":2} `; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	nothing := func(strictjson.Value) error { return nil }
	for body, most := range map[string]int{`{"a":[1,2]}`: 1, `{"a":1}`: 9, `{"a":{}}`: 9, `{"a":"[]"}`: 9} {
		if err := read(body, most, nothing); err == nil {
			t.Errorf("%s with at most %d: no error", body, most)
		}
	}
	if err := read(`{"a":[]}`, 0, nothing); err != nil {
		t.Error(err)
	}
	stop := errors.New("stop")
	if err := read(kinds, 8, func(strictjson.Value) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the element's own error", err)
	}
}
