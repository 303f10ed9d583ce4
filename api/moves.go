package api

import (
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/hydrastore/hydrastore/api/internal/rest"
	"github.com/hydrastore/hydrastore/api/internal/strictjson"
	"github.com/hydrastore/hydrastore/session"
)

// Moving answers GET /v1/cluster/move.
func (h *handlers) Moving(c echo.Context) error {
	call, err := h.call(c)
	if err != nil {
		return err
	}
	moving, err := h.service.Moving(c.Request().Context(), call)
	return h.answerMoving(c, moving, err)
}

// Move answers POST /v1/cluster/move.
func (h *handlers) Move(c echo.Context) error {
	call, err := h.call(c)
	if err != nil {
		return err
	}
	var step session.MoveStep
	if err := h.readBody(c, func(body []byte) (err error) { step, err = decodeMoveStep(body); return err }); err != nil {
		return err
	}
	moving, err := h.service.Move(c.Request().Context(), call, step)
	return h.answerMoving(c, moving, err)
}

// ImportRecords answers POST /v1/cluster/move/records.
func (h *handlers) ImportRecords(c echo.Context) error {
	call, err := h.call(c)
	if err != nil {
		return err
	}
	var filling session.Filling
	var records []json.RawMessage
	if err := h.readBody(c, func(body []byte) (err error) { filling, records, err = decodeRecordImport(body); return err }); err != nil {
		return err
	}
	moving, err := h.service.ImportRecords(c.Request().Context(), call, filling, records)
	return h.answerMoving(c, moving, err)
}

// ExportRecords answers GET /v1/cluster/move/records. Records keep their bytes, which a model would not.
func (h *handlers) ExportRecords(c echo.Context, p rest.ExportRecordsParams) error {
	call, err := h.call(c)
	if err != nil {
		return err
	}
	page, err := h.service.ExportRecords(c.Request().Context(), call, page(nil, p.Cursor).Cursor)
	if err != nil {
		return err
	}
	setMeta(c, page.Meta)
	return writeAppended(h, c, http.StatusOK, appendRecords, &page)
}

func (h *handlers) answerMoving(c echo.Context, m session.Moving, err error) error {
	if err != nil {
		return err
	}
	setMeta(c, m.Meta)
	model := rest.Moving{Phase: rest.MovePhase(m.Phase), Origin: unlessZero(m.Origin), Filling: unlessZero(m.Number), Users: m.Users, Sessions: m.Sessions}
	if !m.At.IsZero() {
		model.At = &rest.Timestamp{Time: m.At}
	}
	return writeModel(c, http.StatusOK, model)
}

func appendRecords(b []byte, page *session.PortableRecords) []byte {
	b = append(b, `{"items":[`...)
	for i, r := range page.Records {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, r...)
	}
	b = append(b, `],"next_cursor":`...)
	if page.NextCursor == "" {
		return append(b, "null}"...)
	}
	return append(appendText(b, page.NextCursor), '}')
}

func decodeMoveStep(body []byte) (s session.MoveStep, err error) {
	var kind string
	var number int
	err = decodeMembers(body, "step",
		text("step", &kind), rawObject("cluster", &s.Cluster), boolean("restart", &s.Restart),
		text("origin", &s.Filling.Origin), whole("filling", &number), whole("users", &s.Users), whole("sessions", &s.Sessions),
	)
	s.Kind, s.Filling.Number = session.MoveStepKind(kind), uint64(max(0, number))
	return s, err
}

func decodeRecordImport(body []byte) (f session.Filling, records []json.RawMessage, err error) {
	var number int
	err = decodeMembers(body, "origin", text("origin", &f.Origin), whole("filling", &number), member{"items", func(v strictjson.Value) error {
		return v.Elements(session.MaxImportRecords, func(e strictjson.Value) error {
			if e.Kind() != strictjson.Object {
				return v.Errorf("must have objects as its elements")
			}
			records = append(records, e.Raw())
			return nil
		})
	}})
	f.Number = uint64(max(0, number))
	return f, records, err
}

func rawObject(name string, to *json.RawMessage) member {
	return member{name, func(v strictjson.Value) error {
		if v.Kind() != strictjson.Object {
			return v.Errorf("must be an object")
		}
		*to = v.Raw()
		return nil
	}}
}
