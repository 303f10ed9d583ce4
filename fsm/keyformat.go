package fsm

import (
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// keyFormats are in the order of the log's and the snapshot's numbers.
var keyFormats = [...]session.KeyFormat{session.KeyNative, session.KeyHex32, session.KeyHex64, session.KeyAlnum25, session.KeyWS}

// keyFormatFrom gives "" for a number that stands for nothing.
func keyFormatFrom(n uint64) session.KeyFormat {
	if n >= uint64(len(keyFormats)) {
		return ""
	}
	return keyFormats[n]
}

func keyFormatByte(f session.KeyFormat) byte {
	for i, known := range keyFormats {
		if known == f {
			return byte(i)
		}
	}
	return 0
}

// keyFormat reads a command's format, of which the native one need not be said; "" when it is none.
func keyFormat(f fsmpb.KeyFormat) session.KeyFormat {
	if f == fsmpb.KeyFormat_KEY_FORMAT_UNSPECIFIED {
		return session.KeyNative
	}
	return keyFormatFrom(uint64(f) - 1)
}
