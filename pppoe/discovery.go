package pppoe

import "encoding/binary"

// TagType is what a tag is about, RFC 2516 appendix A and RFC 4638 §4.
type TagType uint16

// The tags.
const (
	tagEnd         TagType = 0x0000
	TagServiceName TagType = 0x0101
	TagACName      TagType = 0x0102
	TagHostUniq    TagType = 0x0103
	TagCookie      TagType = 0x0104
	TagRelayID     TagType = 0x0110
	TagMaxPayload  TagType = 0x0120
	TagNameError   TagType = 0x0201
	TagSystemError TagType = 0x0202
	TagError       TagType = 0x0203
)

const tagHeader = 4

// A Tag is a piece of a discovery frame.
type Tag struct {
	Type TagType
	Data []byte
}

// NextTag reads the first tag of b; ok is false if there is none, or what is there
// is cut short.
func NextTag(b []byte) (t Tag, rest []byte, ok bool) {
	if len(b) < tagHeader {
		return t, nil, false
	}
	size := int(binary.BigEndian.Uint16(b[2:]))
	t.Type = TagType(binary.BigEndian.Uint16(b))
	if size > len(b)-tagHeader {
		return t, nil, false
	}
	t.Data = b[tagHeader:][:size]
	return t, b[tagHeader+size:], true
}

// ParseTags reads the tags of a payload, up to an end-of-list; ok is false if it is
// cut short.
func ParseTags(b []byte) (all []Tag, ok bool) {
	for len(b) > 0 {
		t, rest, ok := NextTag(b)
		if !ok {
			return nil, false
		}
		if t.Type == tagEnd {
			break
		}
		all = append(all, t)
		b = rest
	}
	return all, true
}

// AppendTag appends a tag, whose data is at most 65535 bytes.
func AppendTag(b []byte, t Tag) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(t.Type))
	b = binary.BigEndian.AppendUint16(b, uint16(len(t.Data)))
	return append(b, t.Data...)
}

// find is the data of the first tag of a type; ok is false if there is none.
func find(tags []Tag, typ TagType) (data []byte, ok bool) {
	for _, t := range tags {
		if t.Type == typ {
			return t.Data, true
		}
	}
	return nil, false
}

// MaxPayload is what RFC 4638 §4 has agreed upon; zero: nothing.
func MaxPayload(tags []Tag) int {
	if data, ok := find(tags, TagMaxPayload); ok && len(data) == 2 {
		return int(binary.BigEndian.Uint16(data))
	}
	return 0
}

// refusal is what an error tag says, in words; ok is false if there is none. What
// it says is the peer's: only its printable part is shown.
func refusal(tags []Tag) (text string, ok bool) {
	for _, t := range tags {
		switch t.Type {
		case TagNameError:
			return "service name refused" + said(t.Data), true
		case TagSystemError:
			return "access concentrator in trouble" + said(t.Data), true
		case TagError:
			return "refused" + said(t.Data), true
		}
	}
	return "", false
}

func said(b []byte) string {
	if text := printable(b); text != "" {
		return ": " + text
	}
	return ""
}

// printable is what of b may be shown to people: the peer chose it.
func printable(b []byte) string {
	const most = 120
	var text []byte
	for _, x := range b[:min(len(b), most)] {
		if x >= ' ' && x < 0x7f {
			text = append(text, x)
		}
	}
	return string(text)
}
