package manifests_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	admissionregistration "k8s.io/api/admissionregistration/v1"
	core "k8s.io/api/core/v1"
	node "k8s.io/api/node/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/environment"

	"sigs.k8s.io/yaml"

	celgo "github.com/google/cel-go/cel"
)

// expression is one of a policy's, for the API server's compiler.
type expression struct {
	name, text string
	gives      *celgo.Type
}

func (e expression) GetExpression() string      { return e.text }
func (e expression) GetName() string            { return e.name }
func (e expression) ReturnTypes() []*celgo.Type { return []*celgo.Type{e.gives} }

// policy is a ValidatingAdmissionPolicy, compiled as the API server does (plugin/policy/validating, compilePolicy).
type policy struct {
	name                              string
	fails                             []admissionregistration.Validation
	conditions, validations, messages cel.ConditionEvaluator
}

// oldest is the first version whose API server has to take the policies as they are: ValidatingAdmissionPolicy is v1 from it on.
var oldest = version.MajorMinor(1, 30)

func compile(t *testing.T, from *admissionregistration.ValidatingAdmissionPolicy) policy {
	t.Helper()
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(oldest))
	if err != nil {
		t.Fatal(err)
	}
	options := cel.OptionalVariableDeclarations{HasAuthorizer: true}
	// NewExpressions: only what that version knows.
	const mode = environment.NewExpressions
	for _, variable := range from.Spec.Variables {
		result := compiler.CompileAndStoreVariable(expression{variable.Name, variable.Expression, celgo.AnyType}, options, mode)
		if result.Error != nil {
			t.Fatalf("policy %s, variable %s: %v", from.Name, variable.Name, result.Error)
		}
	}
	var conditions, validations, messages []cel.ExpressionAccessor
	for _, condition := range from.Spec.MatchConditions {
		conditions = append(conditions, expression{condition.Name, condition.Expression, celgo.BoolType})
	}
	for _, validation := range from.Spec.Validations {
		validations = append(validations, expression{"", validation.Expression, celgo.BoolType})
		if validation.MessageExpression == "" {
			messages = append(messages, expression{"", fmt.Sprintf("%q", validation.Message), celgo.StringType})
			continue
		}
		messages = append(messages, expression{"", validation.MessageExpression, celgo.StringType})
	}
	p := policy{name: from.Name, fails: from.Spec.Validations}
	for list, evaluator := range map[*[]cel.ExpressionAccessor]*cel.ConditionEvaluator{&conditions: &p.conditions, &validations: &p.validations, &messages: &p.messages} {
		compiled := compiler.CompileCondition(*list, options, mode)
		for _, err := range compiled.CompilationErrors() {
			t.Fatalf("policy %s: %v", from.Name, err)
		}
		*evaluator = compiled
	}
	return p
}

// request is what the API server is asked for.
type request struct {
	now, before runtime.Object // nil: none
	kind        schema.GroupVersionKind
	resource    string
	namespace   *core.Namespace
	user        user.Info
}

// refused gives the first reason for which a policy refuses a request, "" if it does not.
func (p policy) refused(t *testing.T, r request) string {
	t.Helper()
	operation := admission.Create
	if r.before != nil {
		operation = admission.Update
	}
	if r.user == nil {
		r.user = &user.DefaultInfo{Name: "dev"}
	}
	space := ""
	if r.namespace != nil {
		space = r.namespace.Name
	}
	resource := r.kind.GroupVersion().WithResource(r.resource)
	attributes := admission.NewAttributesRecord(r.now, r.before, r.kind, space, "x", resource, "", operation, nil, false, r.user)
	versioned := &admission.VersionedAttributes{Attributes: attributes, VersionedKind: r.kind, VersionedObject: admission.NewLazyObject(r.now), VersionedOldObject: admission.NewLazyObject(r.before)}
	asked := cel.CreateAdmissionRequest(attributes, meta.GroupVersionResource(resource), meta.GroupVersionKind(r.kind))
	evaluate := func(what cel.ConditionEvaluator) []cel.EvaluationResult {
		results, _, err := what.ForInput(context.Background(), versioned, asked, cel.OptionalVariableBindings{}, cel.CreateNamespaceObject(r.namespace), celconfig.RuntimeCELCostBudget)
		if err != nil {
			t.Fatalf("policy %s: %v", p.name, err)
		}
		return results
	}
	for _, condition := range evaluate(p.conditions) {
		if condition.Error != nil {
			t.Fatalf("policy %s: %v", p.name, condition.Error)
		}
		if condition.EvalResult.Value() != true {
			return ""
		}
	}
	for i, validation := range evaluate(p.validations) {
		if validation.Error != nil {
			t.Fatalf("policy %s, validation %d: %v", p.name, i, validation.Error)
		}
		if validation.EvalResult.Value() != true {
			message := evaluate(p.messages)[i] // of those that hold there need not be a message
			if message.Error != nil {
				t.Fatalf("policy %s, message %d: %v", p.name, i, message.Error)
			}
			return message.EvalResult.Value().(string)
		}
	}
	return ""
}

func policies(t *testing.T) map[string]policy {
	t.Helper()
	compiled := map[string]policy{}
	bound := map[string]bool{}
	for _, o := range kustomize(t, "containerd") {
		switch o := o.(type) {
		case *admissionregistration.ValidatingAdmissionPolicy:
			compiled[o.Name] = compile(t, o)
			if *o.Spec.FailurePolicy != admissionregistration.Fail {
				t.Errorf("%s lets pass what it cannot judge", o.Name)
			}
		case *admissionregistration.ValidatingAdmissionPolicyBinding:
			bound[o.Spec.PolicyName] = len(o.Spec.ValidationActions) == 1 && o.Spec.ValidationActions[0] == admissionregistration.Deny
		}
	}
	for name := range compiled {
		if !bound[name] {
			t.Errorf("nothing binds %s to deny", name)
		}
	}
	return compiled
}

// pod has containers app and log, and an init container setup.
func pod(class string, annotations ...string) *core.Pod {
	p := &core.Pod{ObjectMeta: meta.ObjectMeta{Name: "x", Annotations: map[string]string{"other.example/note": "a=b"}}}
	p.Spec.Containers = []core.Container{{Name: "app"}, {Name: "log"}}
	p.Spec.InitContainers = []core.Container{{Name: "setup"}}
	if class != "" {
		p.Spec.RuntimeClassName = &class
	}
	for _, annotation := range annotations {
		key, value, _ := strings.Cut(annotation, "=")
		p.Annotations[key] = value
	}
	return p
}

func namespace(labels ...string) *core.Namespace {
	n := &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: "robots", Labels: map[string]string{"kubernetes.io/metadata.name": "robots"}}}
	for _, label := range labels {
		key, value, _ := strings.Cut(label, "=")
		n.Labels[key] = value
	}
	return n
}

const (
	asks = "allow.rtshield.io/rtshield=true"
	fifo = "allow.rtshield.io/rtshield-fifo=true"
	upTo = "rtshield.io/max-priority="
)

func TestWhoMayAsk(t *testing.T) {
	judge := policies(t)["rtshield-pods"]
	text, err := os.ReadFile("testdata/who-may-ask.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		What                   string
		Namespace, Annotations map[string]string
		RuntimeClass, Refused  string
	}
	if err := yaml.UnmarshalStrict(text, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 36 {
		t.Errorf("there are %d cases", len(cases))
	}
	bare := request{now: &core.Pod{}, kind: core.SchemeGroupVersion.WithKind("Pod"), resource: "pods", namespace: &core.Namespace{}}
	if got := judge.refused(t, bare); got != "" {
		t.Errorf("a pod without annotations is refused with %q", got)
	}
	for _, c := range cases {
		now, in := pod(c.RuntimeClass), namespace()
		maps.Copy(now.Annotations, c.Annotations)
		maps.Copy(in.Labels, c.Namespace)
		got := judge.refused(t, request{now: now, kind: core.SchemeGroupVersion.WithKind("Pod"), resource: "pods", namespace: in})
		if c.Refused == "" && got != "" || c.Refused != "" && !strings.Contains(got, c.Refused) {
			t.Errorf("%s: refused with %q, want %q", c.What, got, c.Refused)
		}
	}
}

func TestAPodThatRunsIsJudgedByWhatItChanges(t *testing.T) {
	judge := policies(t)["rtshield-pods"]
	labelled := pod("rtshield-fifo", "rtshield.io/priority=30")
	labelled.Labels = map[string]string{"a": "b"}
	for _, c := range []struct {
		what        string
		namespace   *core.Namespace
		before, now *core.Pod
		refused     string
	}{
		{"a label, where it is allowed no more", namespace(), pod("rtshield-fifo", "rtshield.io/priority=30"), labelled, ""},
		{"a higher priority", namespace(fifo, upTo+"40"), pod("rtshield-fifo", "rtshield.io/priority=30"), pod("rtshield-fifo", "rtshield.io/priority=41"), "= 41: expected a priority, 1-40"},
		{"the priority goes, and with it the ceiling", namespace(fifo, upTo+"40"), pod("rtshield-fifo", "rtshield.io/priority=30"), pod("rtshield-fifo"), "container app names no priority"},
		{"an ordinary pod starts to ask", namespace(asks), pod(""), pod("", "rtshield.io/class=fifo"), "needs runtimeClassName"},
		{"a debug container that will come", namespace(asks), pod("rtshield"), pod("rtshield", "class.rtshield.io/debugger=batch"), ""},
	} {
		got := judge.refused(t, request{now: c.now, before: c.before, kind: core.SchemeGroupVersion.WithKind("Pod"), resource: "pods", namespace: c.namespace})
		if c.refused == "" && got != "" || c.refused != "" && !strings.Contains(got, c.refused) {
			t.Errorf("%s: refused with %q, want %q", c.what, got, c.refused)
		}
	}
}

func TestNoRuntimeClassHidesAHandlerOfOurs(t *testing.T) {
	judge := policies(t)["rtshield-runtimeclasses"]
	for _, c := range []struct {
		name, handler string
		refused       bool
	}{
		{"rtshield-fifo", "rtshield-fifo", false}, {"gvisor", "runsc", false}, {"fast", "rtshield-fifo", true}, {"rtshield", "rtshield-rr", true},
	} {
		class := &node.RuntimeClass{ObjectMeta: meta.ObjectMeta{Name: c.name}, Handler: c.handler}
		got := judge.refused(t, request{now: class, kind: node.SchemeGroupVersion.WithKind("RuntimeClass"), resource: "runtimeclasses"})
		if (got != "") != c.refused {
			t.Errorf("%s for %s: refused with %q", c.name, c.handler, got)
		}
	}
}

func TestTheInstallerMayChangeOnlyLabelsOfItsOwnNode(t *testing.T) {
	judge := policies(t)["rtshield-own-node"]
	before := &core.Node{ObjectMeta: meta.ObjectMeta{Name: "n1", Labels: map[string]string{"rtshield.io/node": "enabled", "zone": "a", "rtshield.io/ready": "false"}}}
	with := func(change func(*core.Node)) *core.Node {
		n := before.DeepCopy()
		change(n)
		return n
	}
	ours := "system:serviceaccount:rtshield-system:rtshield-node"
	on := func(name, node string) user.Info {
		return &user.DefaultInfo{Name: name, Extra: map[string][]string{"authentication.kubernetes.io/node-name": {node}}}
	}
	ready := func(n *core.Node) { n.Labels["rtshield.io/ready"] = "true"; n.Labels["rtshield.io/free-cpus"] = "3" }
	for _, c := range []struct {
		what    string
		user    user.Info
		now     *core.Node
		refused string
	}{
		{"its own labels", on(ours, "n1"), with(ready), ""},
		{"they go", on(ours, "n1"), with(func(n *core.Node) { delete(n.Labels, "rtshield.io/ready") }), ""},
		{"the first label that a node has", on(ours, "n1"), with(ready), ""},
		{"another's node", on(ours, "n2"), with(ready), "its own node only"},
		{"a token that is for no node", &user.DefaultInfo{Name: ours}, with(ready), "its own node only"},
		{"a foreign label", on(ours, "n1"), with(func(n *core.Node) { n.Labels["zone"] = "b" }), "labels rtshield.io/* only"},
		{"a foreign label goes", on(ours, "n1"), with(func(n *core.Node) { delete(n.Labels, "zone") }), "labels rtshield.io/* only"},
		{"the administrator's", on(ours, "n1"), with(func(n *core.Node) { delete(n.Labels, "rtshield.io/node") }), "the administrator's"},
		{"a taint", on(ours, "n1"), with(func(n *core.Node) { n.Spec.Taints = []core.Taint{{Key: "a", Effect: core.TaintEffectNoSchedule}} }), "nothing of a node but labels"},
		{"an annotation", on(ours, "n1"), with(func(n *core.Node) { n.Annotations = map[string]string{"a": "b"} }), "nothing of a node but labels"},
		{"somebody else", &user.DefaultInfo{Name: "admin"}, with(func(n *core.Node) { n.Labels["zone"] = "b" }), ""},
	} {
		got := judge.refused(t, request{now: c.now, before: before, kind: core.SchemeGroupVersion.WithKind("Node"), resource: "nodes", user: c.user})
		if c.refused == "" && got != "" || c.refused != "" && !strings.Contains(got, c.refused) {
			t.Errorf("%s: refused with %q, want %q", c.what, got, c.refused)
		}
	}
}
