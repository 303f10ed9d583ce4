package auth

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// A challenge is what LiveJournal's servers issue, so that their clients can answer it:
//
//	c0 : start of the hour : seconds since : lifetime in seconds : 20 characters : signature
//
// with instants in seconds of Unix time, and the signature the MD5 of all before it, without the last colon, and the hour's secret. MD5
// is no choice here: it is the protocol.
const (
	challengeVersion  = "c0"
	challengeRandom   = 20
	challengeAlphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	challengeHour     = 3600 // seconds

	// MaxChallengeBytes bounds the text of a challenge: no other is looked at.
	MaxChallengeBytes = 128
	// ChallengeSecretBytes is the length of an hour's secret.
	ChallengeSecretBytes = 32
)

// Challenge is one that has been read. Only Signed tells whether it is to be believed.
type Challenge struct {
	Text      string
	Hour      time.Time // begins the hour whose secret has signed it
	ExpiresAt time.Time // the first instant at which it is too old

	bare, signature string
}

// ChallengeHour is the beginning of the hour whose secret signs challenges that are issued at an instant.
func ChallengeHour(at time.Time) time.Time {
	return time.Unix(at.Unix()-at.Unix()%challengeHour, 0).UTC()
}

// NewChallenge issues a challenge at an instant, cut to seconds. secret is that of its hour.
func NewChallenge(random io.Reader, secret []byte, at time.Time, lifetime time.Duration) (Challenge, error) {
	word, err := randomWord(random, challengeRandom)
	if err != nil {
		return Challenge{}, fmt.Errorf("draw challenge: %w", err)
	}
	hour := ChallengeHour(at)
	bare := fmt.Sprintf("%s:%d:%d:%d:%s", challengeVersion, hour.Unix(), at.Unix()-hour.Unix(), int64(lifetime.Seconds()), word)
	c, _ := ParseChallenge(bare + ":" + sign(bare, secret))
	return c, nil
}

func sign(bare string, secret []byte) string {
	return hexMD5(append([]byte(bare), secret...))
}

// ParseChallenge reads a challenge; false when the text is none.
func ParseChallenge(text string) (Challenge, bool) {
	parts := strings.Split(text, ":")
	if len(text) > MaxChallengeBytes || len(parts) != 6 || parts[0] != challengeVersion {
		return Challenge{}, false
	}
	hour, ok1 := decimal(parts[1])
	age, ok2 := decimal(parts[2])
	lifetime, ok3 := decimal(parts[3])
	switch {
	case !ok1 || !ok2 || !ok3 || hour%challengeHour != 0 || age >= challengeHour || lifetime == 0 || lifetime > challengeHour,
		len(parts[4]) != challengeRandom || strings.Trim(parts[4], challengeAlphabet) != "",
		len(parts[5]) != 2*md5.Size:
		return Challenge{}, false
	}
	return Challenge{
		Text: text, Hour: time.Unix(hour, 0).UTC(), ExpiresAt: time.Unix(hour+age+lifetime, 0).UTC(),
		bare: text[:strings.LastIndexByte(text, ':')], signature: parts[5],
	}, true
}

// decimal reads a number as a challenge has it: digits that begin with 0 only in "0".
func decimal(text string) (int64, bool) {
	const most = 11
	if text == "" || len(text) > most || strings.Trim(text, "0123456789") != "" || len(text) > 1 && text[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// Signed tells whether the hour's secret has signed the challenge.
func (c Challenge) Signed(secret []byte) bool {
	return subtle.ConstantTimeCompare([]byte(sign(c.bare, secret)), []byte(c.signature)) == 1
}

// PasswordMD5 is what is kept of a password for log-ins by its MD5.
func PasswordMD5(password string) []byte {
	sum := md5.Sum([]byte(password))
	return sum[:]
}

// IsPasswordMD5 tells whether a text is a password's MD5 in hexadecimal digits of either case.
func IsPasswordMD5(stored []byte, given string) bool {
	return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(stored)), []byte(strings.ToLower(given))) == 1
}

// IsResponse tells whether a text answers a challenge by a password's MD5: the MD5 of the challenge and the hexadecimal digits of that,
// all in lower case.
func IsResponse(stored []byte, challenge, given string) bool {
	want := hexMD5([]byte(challenge + hex.EncodeToString(stored)))
	return subtle.ConstantTimeCompare([]byte(want), []byte(given)) == 1
}

func hexMD5(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

// randomWord draws letters and digits, all equally likely.
func randomWord(random io.Reader, n int) (string, error) {
	if random == nil {
		random = rand.Reader
	}
	const fair = 256 - 256%len(challengeAlphabet)
	word := make([]byte, 0, n)
	buffer := make([]byte, n)
	for len(word) < n {
		if _, err := io.ReadFull(random, buffer); err != nil {
			return "", err
		}
		for _, b := range buffer {
			if int(b) < fair && len(word) < n {
				word = append(word, challengeAlphabet[int(b)%len(challengeAlphabet)])
			}
		}
	}
	return string(word), nil
}
