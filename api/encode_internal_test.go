package api

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/api/internal/rest"
	"github.com/hydrastore/hydrastore/session"
)

// TestHandWrittenJSONIsThatOfTheModels makes random sessions and compares what is written by hand with what encoding/json
// writes of the generated models.
func TestHandWrittenJSONIsThatOfTheModels(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		s := randomSession(random)
		attributes := session.Attributes{}
		for range random.IntN(4) {
			attributes[randomText(random)] = json.RawMessage([]string{"1", `"x"`, `{"a":[null]}`}[random.IntN(3)])
		}
		var sealed session.Attributes
		var sealedModel *rest.SealedAttributes
		if random.IntN(2) == 0 {
			sealed = session.Attributes{randomText(random): json.RawMessage(`"s"`)}
			sealedModel = (*rest.SealedAttributes)(&sealed)
		}
		key, err := session.NewKey(bytes.NewReader(make([]byte, 100)))
		if err != nil {
			t.Fatal(err)
		}
		model, rotate := sessionModel(s), random.IntN(2) == 0
		same(t, seed, appendChecked(nil, &session.Checked{Session: s, Roles: session.Roles(), Rotate: rotate, Attributes: attributes, Sealed: sealed}), rest.CheckedSession{
			ID: model.ID, Number: model.Number, User: model.User, Policy: model.Policy, CreatedAt: model.CreatedAt, LastUsedAt: model.LastUsedAt,
			ExpiresAt: model.ExpiresAt, IdleTimeoutS: model.IdleTimeoutS, Permanent: model.Permanent, Prompt: model.Prompt, ClientIP: model.ClientIP, UserAgent: model.UserAgent,
			AttributesVersion: model.AttributesVersion, AuthTime: model.AuthTime, Methods: model.Methods, Rotate: rotate,
			Roles: []rest.Role{"user", "service", "admin"}, Attributes: rest.Attributes(attributes), SealedAttributes: sealedModel,
		})
		same(t, seed, appendIssued(nil, &session.Issued{Key: key, Session: s, Attributes: attributes, Sealed: sealed}), rest.IssuedSession{
			ID: model.ID, Number: model.Number, User: model.User, Policy: model.Policy, CreatedAt: model.CreatedAt, LastUsedAt: model.LastUsedAt,
			ExpiresAt: model.ExpiresAt, IdleTimeoutS: model.IdleTimeoutS, Permanent: model.Permanent, Prompt: model.Prompt, ClientIP: model.ClientIP, UserAgent: model.UserAgent,
			AttributesVersion: model.AttributesVersion, AuthTime: model.AuthTime, Methods: model.Methods, Key: key.Reveal(), Attributes: rest.Attributes(attributes), SealedAttributes: sealedModel,
		})
		list := session.SessionList{Items: []session.Session{s, s}[:random.IntN(3)], NextCursor: []string{"", "c\"x"}[random.IntN(2)]}
		page := rest.SessionPage{Items: []rest.Session{model, model}[:len(list.Items)], NextCursor: unlessZero(list.NextCursor)}
		if random.IntN(2) == 0 {
			list.Node = randomText(random) + "n"
			page.SessionsNode = &list.Node
		}
		same(t, seed, appendSessionList(nil, &list), page)
	}
}

func same(t *testing.T, seed uint64, byHand []byte, model any) {
	t.Helper()
	byModel, err := json.Marshal(model)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(byHand, &got); err != nil {
		t.Fatalf("seed %d: %v: %s", seed, err, byHand)
	}
	if err := json.Unmarshal(byModel, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("seed %d: got\n%s\nwant\n%s", seed, byHand, byModel)
	}
}

func sessionModel(s session.Session) rest.Session {
	m := rest.Session{ID: s.ID.String(), Number: s.Number, User: s.User, Policy: s.Policy, CreatedAt: rest.Timestamp{Time: s.CreatedAt},
		LastUsedAt: rest.Timestamp{Time: s.LastUsedAt}, IdleTimeoutS: inSeconds(s.IdleTimeout), UserAgent: unlessZero(s.UserAgent),
		Permanent: s.Permanent, Prompt: s.Prompt, AttributesVersion: s.AttributesVersion, AuthTime: rest.Timestamp{Time: s.AuthTime},
		Methods: make([]rest.Method, len(s.Methods))}
	for i, method := range s.Methods {
		m.Methods[i] = rest.Method(method)
	}
	if s.Permanent {
		m.IdleTimeoutS = -1
	}
	if !s.ExpiresAt.IsZero() {
		m.ExpiresAt = &rest.Timestamp{Time: s.ExpiresAt}
	}
	if s.ClientAddress.IsValid() {
		m.ClientIP = unlessZero(s.ClientAddress.String())
	}
	return m
}

func randomSession(random *rand.Rand) session.Session {
	s := session.Session{Number: random.Uint64() >> 12, User: randomText(random), Policy: "p", CreatedAt: time.UnixMilli(random.Int64N(1 << 42)).In(time.FixedZone("x", 3600)),
		LastUsedAt: time.UnixMilli(random.Int64N(1 << 42)), IdleTimeout: time.Duration(random.Int64N(1<<40)) * time.Millisecond, UserAgent: randomText(random), Permanent: random.IntN(2) == 0, Prompt: random.IntN(2) == 0,
		AuthTime: time.UnixMilli(random.Int64N(1 << 42)), Methods: []session.Method{session.MethodPassword, session.MethodService}[:random.IntN(3)]}
	if random.IntN(2) == 0 {
		s.ExpiresAt = time.UnixMilli(random.Int64N(1 << 42))
	}
	switch random.IntN(3) {
	case 0:
		s.ClientAddress = netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(256))})
	case 1:
		s.ClientAddress = netip.MustParseAddr("2001:db8::1")
	}
	return s
}

// randomText has what needs care: quotes, controls, several bytes, wrong bytes.
func randomText(random *rand.Rand) string {
	alphabet := []string{"a", "Z", `"`, `\`, "\n", "\x00", "\x1f", "\x7f", "ä", "\u2028", "🙂", "<", "&", "\xff", "\xc3"}
	var text string
	for range random.IntN(8) {
		text += alphabet[random.IntN(len(alphabet))]
	}
	return text
}

// FuzzDecoders: no body makes a decoder panic, and what one accepts keeps its form.
func FuzzDecoders(f *testing.F) {
	for _, seed := range []string{
		`{"user":"ada","password":"p","policy":"default","permanent":true,"idle_timeout_s":2.5,"attributes":{"a":{"b":[1]}},"sealed_attributes":{"s":1},"client_ip":"::1","user_agent":"x"}`,
		`{"user":"bob","password":"12345678","roles":["admin"],"policies":["default"],"disabled":true}`,
		`{"idle_timeout_s":1.5,"absolute_lifetime_s":0,"touch_window_s":-1,"attributes":"local","attributes_write":"bearer","inactivity_timeout_s":3600,"no_tickle":true,"bind_address":"strict","permanent_allowed":true,"longer_idle_allowed":true,"rotate_grace_s":0,"key_format":"ws"}`,
		`{"peer_address":"a:1"}`, `{"id":"n1"}`, `{"a":null}`, "{\"\xff\":1}", `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if l, err := decodeLogin(body); err == nil && l.Vouched && l.Password != "" {
			t.Error("a vouched log-in has a password")
		}
		if patch, err := decodeAttributePatch(body); err == nil {
			for name, value := range patch {
				if !json.Valid(value) {
					t.Errorf("%q has %q", name, value)
				}
			}
		}
		if ch, err := decodePolicyChange(body); err == nil && ch.IdleTimeout != nil && *ch.IdleTimeout%time.Millisecond != 0 {
			t.Errorf("got %v", *ch.IdleTimeout)
		}
		if p, err := decodeProof(body); err == nil && p.Vouched && p.Password != "" {
			t.Error("a vouched proof has a password")
		}
		_, _ = decodeNewUser(body)
		_, _ = decodeUserChange(body)
		_, _ = decodeNewMember(body)
		_, _ = decodeLeaderTransfer(body)
	})
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain": "plain", "hs_": "hs_[redacted]", "a hs_abc-D_9 b": "a hs_[redacted] b", "hs_x,hs_y": "hs_[redacted],hs_[redacted]", "hs_hs_x": "hs_[redacted]", "xhs_x": "xhs_[redacted]",
		"=91389bd1127bce0a2615d390be08f696.":                    "=[redacted].",
		"91389BD1127BCE0A2615D390BE08F696":                      "[redacted]",
		strings.Repeat("0af9", 16) + " and more":                "[redacted] and more",
		"params[0]: NVvdBOKjcvm2nIYt6xzN5rKGv":                  "params[0]: [redacted]",
		"ws:ada%3Ax:7:zfFG136kSzabcdefghijkl, ws:a:1:, ws":      "ws:[redacted], ws:[redacted], ws",
		"ws://node1:8700":                                       "ws://node1:8700",
		"3megksdyo5wthsjek6uegl7ypy":                            "3megksdyo5wthsjek6uegl7ypy", // the id of a node
		strings.Repeat("a", 24) + "_" + strings.Repeat("b", 26): strings.Repeat("a", 24) + "_" + strings.Repeat("b", 26),
	} {
		if got := redact(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
