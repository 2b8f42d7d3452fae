package manifests_test

import (
	"context"
	"fmt"
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
	for _, c := range []struct {
		what      string
		namespace *core.Namespace
		pod       *core.Pod
		refused   string // in the message; "": it passes
	}{
		{"an ordinary pod, in any namespace", namespace(), pod(""), ""},
		{"a pod of another RuntimeClass", namespace(), pod("gvisor"), ""},
		{"a pod without annotations", namespace(), &core.Pod{Spec: core.PodSpec{Containers: []core.Container{{Name: "a"}}}}, ""},
		{"an allowed RuntimeClass", namespace(fifo), pod("rtshield-fifo"), ""},
		{"a RuntimeClass that is not allowed", namespace(), pod("rtshield-fifo"), "namespace robots may not use RuntimeClass rtshield-fifo: kubectl label namespace robots allow.rtshield.io/rtshield-fifo=true"},
		{"another one is allowed", namespace(fifo), pod("rtshield"), "may not use RuntimeClass rtshield:"},
		{"the label says no", namespace("allow.rtshield.io/rtshield-fifo=false"), pod("rtshield-fifo"), "may not use RuntimeClass rtshield-fifo"},
		{"one that is named by hand", namespace(fifo), pod("rtshield-own"), "may not use RuntimeClass rtshield-own"},
		{"annotations without a RuntimeClass", namespace(asks), pod("", "rtshield.io/class=fifo"), "annotation rtshield.io/class needs runtimeClassName"},
		{"annotations with another RuntimeClass", namespace(asks), pod("gvisor", "class.rtshield.io/app=fifo"), "annotation class.rtshield.io/app needs runtimeClassName"},
		{"known keys", namespace(asks), pod("rtshield", "rtshield.io/class=fifo", "rtshield.io/cpus=2", "priority.rtshield.io/app=70", "cpu-bandwidth.rtshield.io/log=50%"), ""},
		{"an unknown key", namespace(asks), pod("rtshield", "rtshield.io/prio=70"), "annotation rtshield.io/prio: no such key (known: class, cpus"},
		{"an unknown key of a container", namespace(asks), pod("rtshield", "clas.rtshield.io/app=fifo"), "annotation clas.rtshield.io/app: no such key"},
		{"a key of a longer domain", namespace(asks), pod("rtshield", "class.rtshield.io.example/app=fifo"), ""},
		{"a key that is part of another domain", namespace(asks), pod("rtshield", "notrtshield.io/class=fifo"), ""},
		{"a container that is not there", namespace(asks), pod("rtshield", "class.rtshield.io/ap=fifo"), "class.rtshield.io/ap speaks to a container that the pod does not have (it has app, log, setup)"},
		{"an init container", namespace(asks), pod("rtshield", "class.rtshield.io/setup=fifo"), ""},
		{"a priority below the ceiling", namespace(fifo, upTo+"60"), pod("rtshield-fifo", "rtshield.io/priority=60"), ""},
		{"a priority above the ceiling", namespace(fifo, upTo+"60"), pod("rtshield-fifo", "rtshield.io/priority=61"), "annotation rtshield.io/priority = 61: expected a priority, 1-60 (label rtshield.io/max-priority of namespace robots is 60)"},
		{"a container's priority above it", namespace(fifo, upTo+"60"), pod("rtshield-fifo", "rtshield.io/priority=10", "priority.rtshield.io/log=61"), "annotation priority.rtshield.io/log = 61"},
		{"a priority where there is no ceiling", namespace(fifo), pod("rtshield-fifo", "rtshield.io/priority=99"), ""},
		{"a priority that is none", namespace(fifo), pod("rtshield-fifo", "rtshield.io/priority=high"), "rtshield.io/priority = high: expected a priority, 1-99"},
		{"a priority with a sign", namespace(fifo, upTo+"60"), pod("rtshield-fifo", "rtshield.io/priority=+70"), "= +70: expected a priority"},
		{"a ceiling that is no number", namespace(fifo, upTo+"high"), pod("rtshield-fifo", "rtshield.io/priority=1"), "(label rtshield.io/max-priority of namespace robots is high)"},
		{"the built-in priority under a lower ceiling", namespace(fifo, upTo+"40"), pod("rtshield-fifo"), "container app names no priority and would get 50; namespace robots may have up to 40"},
		{"a lower one that is named", namespace(fifo, upTo+"40"), pod("rtshield-fifo", "rtshield.io/priority=40"), ""},
		{"one container that names none", namespace(asks, upTo+"40"), pod("rtshield", "class.rtshield.io/app=fifo", "priority.rtshield.io/app=30", "class.rtshield.io/log=rr"), "container log names no priority"},
		{"the other is ordinary", namespace(asks, upTo+"40"), pod("rtshield", "class.rtshield.io/app=fifo", "priority.rtshield.io/app=30"), ""},
		{"the other is of class batch", namespace(asks, upTo+"40"), pod("rtshield", "rtshield.io/class=batch"), ""},
		{"the built-in priority under a higher ceiling", namespace(fifo, upTo+"50"), pod("rtshield-fifo"), ""},
		{"threads below the ceiling", namespace(fifo, upTo+"60"), pod("rtshield-fifo", "rtshield.io/threads=ctl-*=fifo:60@0, io-*=rr, a=b=rr : 40@1, *=other"), ""},
		{"a thread above the ceiling", namespace(fifo, upTo+"60"), pod("rtshield-fifo", "rtshield.io/threads=ctl-*=fifo:50@0, io-*=rr:61@1"), "annotation rtshield.io/threads = ctl-*=fifo:50@0, io-*=rr:61@1: expected priorities, 1-60"},
		{"a container's threads above it", namespace(fifo, upTo+"60"), pod("rtshield-fifo", "threads.rtshield.io/app=x=fifo: 99"), "annotation threads.rtshield.io/app"},
		{"a deadline under a ceiling", namespace(asks, upTo+"60"), pod("rtshield", "rtshield.io/class=deadline"), "annotation rtshield.io/class: SCHED_DEADLINE runs before every priority"},
		{"a container's deadline under a ceiling", namespace(asks, upTo+"60"), pod("rtshield", "policy.rtshield.io/app=deadline"), "annotation policy.rtshield.io/app: SCHED_DEADLINE"},
		{"an interrupt of that name", namespace(asks, upTo+"60"), pod("rtshield", "rtshield.io/class=batch", "rtshield.io/irq-claim=deadline"), ""},
		{"a deadline without one", namespace(asks), pod("rtshield", "rtshield.io/class=deadline", "rtshield.io/deadline=200us/1ms/1ms"), ""},
	} {
		got := judge.refused(t, request{now: c.pod, kind: core.SchemeGroupVersion.WithKind("Pod"), resource: "pods", namespace: c.namespace})
		if c.refused == "" && got != "" || c.refused != "" && !strings.Contains(got, c.refused) {
			t.Errorf("%s: refused with %q, want %q", c.what, got, c.refused)
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
