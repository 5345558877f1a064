package snapshot_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/resource"
)

const canary = "canary of a secret"

// plant writes the canary into the fields that are not for people's eyes, in every alternative of a oneof by turns:
// it returns one message for each.
func plant(d protoreflect.MessageDescriptor, make func() protoreflect.Message) (planted []protoreflect.Message) {
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		o, _ := f.Options().(*descriptorpb.FieldOptions)
		value := protoreflect.ValueOfString(canary)
		if f.Kind() == protoreflect.BytesKind {
			value = protoreflect.ValueOfBytes([]byte(canary))
		}
		switch {
		case o.GetDebugRedact() && f.IsList():
			m := make()
			m.Mutable(f).List().Append(value)
			planted = append(planted, m)
		case o.GetDebugRedact():
			m := make()
			m.Set(f, value)
			planted = append(planted, m)
		case f.Message() != nil && !f.IsMap() && strings.HasPrefix(string(f.Message().FullName()), "warren."):
			for _, inner := range plant(f.Message(), func() protoreflect.Message {
				t, _ := protoregistry.GlobalTypes.FindMessageByName(f.Message().FullName())
				return t.New()
			}) {
				m := make()
				if f.IsList() {
					m.Mutable(f).List().Append(protoreflect.ValueOfMessage(inner))
				} else {
					m.Set(f, protoreflect.ValueOfMessage(inner))
				}
				planted = append(planted, m)
			}
		}
	}
	return planted
}

// No field of a resource that is marked as secret is shown to people, those of later releases included.
func TestShownTellsNoSecret(t *testing.T) {
	planted := 0
	for _, typeURL := range append(resource.NodeTypes(), resource.ConnectorTypes()...) {
		mt, err := protoregistry.GlobalTypes.FindMessageByURL(typeURL)
		if err != nil {
			t.Fatal(err)
		}
		secrets := plant(mt.Descriptor(), func() protoreflect.Message { return mt.New() })
		if (len(secrets) > 0) != snapshot.Secret(typeURL) {
			t.Errorf("%s: %d secrets, but Secret is %t", resource.ShortType(typeURL), len(secrets), snapshot.Secret(typeURL))
		}
		for _, m := range secrets {
			planted++
			body, err := anypb.New(m.Interface())
			if err != nil {
				t.Fatal(err)
			}
			b, err := snapshot.Shown(body)
			if err != nil {
				t.Fatal(err)
			}
			if s := string(b); strings.Contains(s, canary) || strings.Contains(s, base64.StdEncoding.EncodeToString([]byte(canary))) {
				t.Errorf("%s: %s", resource.ShortType(typeURL), s)
			}
			if !strings.Contains(string(b), "Sha256") {
				t.Errorf("%s: nothing tells one secret from another: %s", resource.ShortType(typeURL), b)
			}
			if proto.Size(m.Interface()) == 0 {
				t.Errorf("%s: nothing planted", typeURL)
			}
		}
	}
	if planted < 5 {
		t.Errorf("%d secrets found in all messages", planted)
	}
}
