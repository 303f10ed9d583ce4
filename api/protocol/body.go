package protocol

import (
	"errors"

	"github.com/hydrastore/hydrastore/api/internal/strictjson"
	"github.com/hydrastore/hydrastore/session"
)

// FieldBody is the field of errors about a body as a whole.
const FieldBody = "body"

// BodyError makes what strictjson says a coded error that names field and place.
func BodyError(err error) error {
	var wrong *strictjson.Error
	if !errors.As(err, &wrong) {
		return err
	}
	field := wrong.Field
	if field == "" {
		field = FieldBody
	}
	return session.Invalid(field, "%s", wrong.Error())
}
