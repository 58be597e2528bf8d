package check

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// argument returns what follows a flag in arguments; empty if it is not there.
func argument(args []string, flag string) string {
	if i := slices.Index(args, flag); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

// TestWorkers checks the manifests of workers as those of servers are.
func TestWorkers(t *testing.T) {
	found := read(t, build(t, filesys.MakeFsOnDisk(), "../worker"))
	if len(found) != 3 {
		t.Fatalf("the manifests have %d kinds", len(found))
	}
	worker := found["apps/v1 Deployment"].(*appsv1.Deployment)
	server := read(t, build(t, filesys.MakeFsOnDisk(), ".."))["apps/v1 Deployment"].(*appsv1.Deployment)
	policy := found["networking.k8s.io/v1 NetworkPolicy"].(*networkingv1.NetworkPolicy)
	checkSelectors(t, map[string]map[string]string{
		"Deployment":          worker.Spec.Selector.MatchLabels,
		"PodDisruptionBudget": found["policy/v1 PodDisruptionBudget"].(*policyv1.PodDisruptionBudget).Spec.Selector.MatchLabels,
		"NetworkPolicy":       policy.Spec.PodSelector.MatchLabels,
	}, worker.Spec.Template.Labels, server.Spec.Template.Labels)
	checkPod(t, worker.Spec.Template.Spec)
	if matches(server.Spec.Selector.MatchLabels, worker.Spec.Template.Labels) {
		t.Error("the Deployment of servers selects the pods of workers too")
	}
	args := worker.Spec.Template.Spec.Containers[0].Args
	stop, err := time.ParseDuration(argument(args, "-stop-timeout"))
	if grace := worker.Spec.Template.Spec.TerminationGracePeriodSeconds; err != nil || stop < time.Minute || grace == nil || time.Duration(*grace)*time.Second <= stop {
		t.Errorf("a worker has %v seconds to stop after %s, %v", grace, stop, err)
	}
}

// TestScaledWorkers checks the manifests of workers that KEDA scales by the schemas of its
// kinds and the names that its scaler reads, and that they fit the Deployment, with and without
// files for TLS to Temporal.
func TestScaledWorkers(t *testing.T) {
	keda := kedaModule(t)
	for _, components := range [][]string{nil, {"worker-mtls"}, {"worker-ca"}, {"worker-ca", "worker-mtls"}} {
		var standard []object
		var scaled scaledObject
		for _, o := range build(t, overlay(t, components), "/all") {
			switch o.kind {
			case "keda.sh/v1alpha1 ScaledObject":
				checkSchema(t, filepath.Join(keda, "config/crd/bases/keda.sh_scaledobjects.yaml"), o)
				if err := yaml.Unmarshal(o.text, &scaled); err != nil {
					t.Fatal(err)
				}
			case "keda.sh/v1alpha1 TriggerAuthentication":
				checkSchema(t, filepath.Join(keda, "config/crd/bases/keda.sh_triggerauthentications.yaml"), o)
				var authentication triggerAuthentication
				if err := yaml.Unmarshal(o.text, &authentication); err != nil {
					t.Fatal(err)
				}
				authentication.check(t, keda, components)
			default:
				standard = append(standard, o)
			}
		}
		worker := read(t, standard)["apps/v1 Deployment"].(*appsv1.Deployment)
		checkPod(t, worker.Spec.Template.Spec)
		if worker.Spec.Replicas != nil {
			t.Errorf("the Deployment has %d replicas, which KEDA is to choose", *worker.Spec.Replicas)
		}
		container := worker.Spec.Template.Spec.Containers[0]
		for file, component := range map[string]string{"-tls-cert=/tls/tls.crt": "worker-mtls", "-tls-key=/tls/tls.key": "worker-mtls", "-tls-ca=/tls-ca/ca.crt": "worker-ca"} {
			if got, want := slices.Contains(container.Args, file), slices.Contains(components, component); got != want {
				t.Errorf("with %v the worker has %s: %t", components, file, got)
			}
		}
		for _, v := range worker.Spec.Template.Spec.Volumes {
			if strings.HasPrefix(v.Name, "tls") && !slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == v.Name && m.MountPath == "/"+v.Name }) {
				t.Errorf("with %v the volume %s is not mounted at /%s: %+v", components, v.Name, v.Name, container.VolumeMounts)
			}
		}
		scaled.check(t, keda, worker)
	}
}

// overlay returns the folders of the manifests with one, /all, that has those for workers with
// components.
func overlay(t *testing.T, components []string) filesys.FileSystem {
	t.Helper()
	files := filesys.MakeFsInMemory()
	list, err := filepath.Glob("../worker*/*.yaml")
	if err != nil || len(list) == 0 {
		t.Fatalf("there are %d files, %v", len(list), err)
	}
	for _, path := range list {
		text, err := os.ReadFile(path)
		if err == nil {
			err = files.WriteFile(strings.TrimPrefix(path, ".."), text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	all := "resources: [../worker-keda]\n"
	if len(components) > 0 {
		all += "components: [../" + strings.Join(components, ", ../") + "]\n"
	}
	if err := files.WriteFile("/all/kustomization.yaml", []byte(all)); err != nil {
		t.Fatal(err)
	}
	return files
}

// scaledObject is what this test reads of one.
type scaledObject struct {
	Spec struct {
		ScaleTargetRef  struct{ Name string }
		MinReplicaCount int
		Triggers        []struct {
			Type              string
			Metadata          map[string]string
			AuthenticationRef struct{ Name string }
		}
	}
}

// check checks that the object scales a Deployment by the task queue of its workers.
func (s *scaledObject) check(t *testing.T, keda string, worker *appsv1.Deployment) {
	t.Helper()
	if s.Spec.ScaleTargetRef.Name != worker.Name || s.Spec.MinReplicaCount < 1 || len(s.Spec.Triggers) != 1 || s.Spec.Triggers[0].Type != "temporal" {
		t.Fatalf("it scales by %+v", s.Spec)
	}
	container := worker.Spec.Template.Spec.Containers[0]
	metadata := s.Spec.Triggers[0].Metadata
	if metadata["taskQueue"] != argument(container.Args, "-task-queue") {
		t.Errorf("it scales by the task queue %q, and the worker's is %q", metadata["taskQueue"], argument(container.Args, "-task-queue"))
	}
	known := scalerNames(t, keda, "triggerMetadata")
	for name, value := range metadata {
		base, fromEnv := strings.CutSuffix(name, "FromEnv")
		if !known[base] {
			t.Errorf("KEDA's scaler reads no %s", name)
		}
		if fromEnv && !slices.ContainsFunc(container.Env, func(e corev1.EnvVar) bool { return e.Name == value }) {
			t.Errorf("%s names the variable %s, which the container does not have", name, value)
		}
	}
}

// triggerAuthentication is what this test reads of one.
type triggerAuthentication struct {
	Spec struct {
		SecretTargetRef []struct{ Parameter, Name, Key string }
	}
}

// check checks that KEDA's scaler reads the secrets, and that those of components are among them.
func (a *triggerAuthentication) check(t *testing.T, keda string, components []string) {
	t.Helper()
	known, found := scalerNames(t, keda, "authParams"), map[string]bool{}
	for _, ref := range a.Spec.SecretTargetRef {
		found[ref.Parameter] = true
		if !known[ref.Parameter] {
			t.Errorf("KEDA's scaler reads no secret %s", ref.Parameter)
		}
	}
	certificate, authority := slices.Contains(components, "worker-mtls"), slices.Contains(components, "worker-ca")
	if !found["apiKey"] || found["cert"] != certificate || found["key"] != certificate || found["ca"] != authority {
		t.Errorf("the secrets are %v", found)
	}
}

// scalerNames returns the names that KEDA's scaler for Temporal reads from a place, from the
// tags of its source.
func scalerNames(t *testing.T, keda, place string) map[string]bool {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(keda, "pkg/scalers/temporal.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, tag := range regexp.MustCompile("keda:\"name=(\\w+), *order=([\\w;]+)").FindAllStringSubmatch(string(source), -1) {
		if slices.Contains(strings.Split(tag[2], ";"), place) {
			names[tag[1]] = true
		}
	}
	if len(names) < 3 {
		t.Fatalf("found the names %v", names)
	}
	return names
}

// The oldest version of KEDA that has what the manifests need.
const (
	kedaVersion = "github.com/kedacore/keda/v2@v2.17.2"
	kedaSum     = "h1:xlrcK5TKABJF9PebK79sgL07s/csGjL3H4m72OkZXxk="
)

// kedaModule returns the folder of KEDA's source. It is read and not built: its module has the
// dependencies of every scaler.
func kedaModule(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", kedaVersion)
	cmd.Dir = t.TempDir() // outside of any module
	out, err := cmd.Output()
	var module struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(out, &module); err == nil {
		err = jsonErr
	}
	if err != nil {
		t.Fatalf("downloading %s: %v %s", kedaVersion, err, module.Error)
	}
	if module.Sum != kedaSum {
		t.Fatalf("%s has the sum %s", kedaVersion, module.Sum)
	}
	return module.Dir
}

// checkSchema checks an object by the schema in a CustomResourceDefinition, with the
// validator of Kubernetes. A field that the schema does not have is an error.
func checkSchema(t *testing.T, definition string, o object) {
	t.Helper()
	text, err := os.ReadFile(definition)
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct{ OpenAPIV3Schema spec.Schema }
			}
		}
	}
	if err := yaml.Unmarshal(text, &crd); err != nil {
		t.Fatal(err)
	}
	for _, version := range crd.Spec.Versions {
		if o.kind != crd.Spec.Group+"/"+version.Name+" "+crd.Spec.Names.Kind {
			continue
		}
		for _, err := range problems(t, &version.Schema.OpenAPIV3Schema, o.text) {
			t.Errorf("%s: %v", o.kind, err)
		}
		return
	}
	t.Errorf("%s has no %s", definition, o.kind)
}

// problems returns how an object does not fit a schema.
func problems(t *testing.T, schema *spec.Schema, text []byte) []error {
	t.Helper()
	closed := *schema
	closeObjects(&closed)
	var value any
	if err := yaml.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return validate.NewSchemaValidator(&closed, nil, "", strfmt.Default).Validate(value).Errors
}

// closeObjects has a schema refuse properties that it does not name, as kubectl does, where it
// names some.
func closeObjects(schema *spec.Schema) {
	if len(schema.Properties) > 0 && schema.AdditionalProperties == nil && schema.Extensions["x-kubernetes-preserve-unknown-fields"] != true {
		schema.AdditionalProperties = &spec.SchemaOrBool{}
	}
	for name, property := range schema.Properties {
		closeObjects(&property)
		schema.Properties[name] = property
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		closeObjects(schema.AdditionalProperties.Schema)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		closeObjects(schema.Items.Schema)
	}
}

// TestSchemaIsStrict checks that a typing error, a wrong type and what is missing are found.
func TestSchemaIsStrict(t *testing.T) {
	var schema spec.Schema
	err := json.Unmarshal([]byte(`{"type": "object", "properties": {"list": {"type": "array", "items": {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}}}}`), &schema)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{"list: [{type: a}]": 0, "lists: []": 1, "list: [{type: a, tipe: b}]": 1, "list: [{type: 1}]": 1, "list: [{}]": 1} {
		if got := problems(t, &schema, []byte(text)); len(got) != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
