package redis

import (
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // how Redis names scripts
	"encoding/base64"
	"encoding/hex"

	"github.com/hydrastore/hydrastore/backend"
)

// versionBytes is the length of every version: 16 random bytes in base64.
const versionBytes = 22

func newVersion() backend.Version {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	return backend.Version(base64.RawURLEncoding.EncodeToString(raw[:]))
}

// What scripts answer.
const (
	answerChanged = 0
	answerDone    = 1
)

// putScript: KEYS record, index, due; ARGV present version or "", new version, value, id, time in ms when Redis drops the record or "".
// Refused commands raise before anything is written: Redis judges memory, role and permissions at the first write, and the others follow.
const putScript = `
local have = redis.call('GETRANGE', KEYS[1], 0, 21)
if have == ARGV[2] then return 1 end
if have ~= ARGV[1] then return 0 end
if ARGV[5] == '' then
  redis.call('SET', KEYS[1], ARGV[2] .. ARGV[3])
  redis.call('ZREM', KEYS[3], ARGV[4])
else
  redis.call('SET', KEYS[1], ARGV[2] .. ARGV[3], 'PXAT', ARGV[5])
  redis.call('ZADD', KEYS[3], ARGV[5], ARGV[4])
end
redis.call('ZADD', KEYS[2], 0, ARGV[4])
return 1`

// deleteScript: KEYS record, index, due; ARGV present version, id.
const deleteScript = `
if redis.call('GETRANGE', KEYS[1], 0, 21) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('ZREM', KEYS[3], ARGV[2])
return 1`

// sweepScript: KEYS index, due, records; ARGV their ids. Takes those ids out whose record is gone.
const sweepScript = `
local gone = 0
for i, id in ipairs(ARGV) do
  if redis.call('EXISTS', KEYS[i + 2]) == 0 then
    redis.call('ZREM', KEYS[1], id)
    redis.call('ZREM', KEYS[2], id)
    gone = gone + 1
  end
end
return gone`

// waitScript: KEYS a wait key; ARGV its life in ms. It changes something each time, also in a full Redis if the key is there, and only replicas are told: no
// append-only file of a master waits for it.
const waitScript = `
redis.set_repl(redis.REPL_REPLICA)
if redis.call('PEXPIRE', KEYS[1], ARGV[1]) == 0 then redis.call('SET', KEYS[1], '', 'PX', ARGV[1]) end
return 1`

// markScript: KEYS two marks of one transaction, alone; ARGV the least that they become. The two are written in one transaction.
const markScript = `
local n = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') + 1, tonumber(ARGV[1]))
redis.call('SET', KEYS[1], n)
redis.call('SET', KEYS[2], n)
return n`

// markAloneScript: KEYS the mark that is written alone; ARGV its new value. One write is no transaction.
const markAloneScript = `
if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 1`

// clockScript: KEYS the clock's key. A script because TIME alone has no key that would lead it to the same member always.
const clockScript = `redis.call('EXISTS', KEYS[1]) return redis.call('TIME')`

// script is a program that Redis keeps by the hash of its text, and forgets when it is restarted.
type script struct{ text, hash string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // how Redis names scripts
	return script{text: text, hash: hex.EncodeToString(sum[:])}
}
