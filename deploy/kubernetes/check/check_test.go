// Package check tests the manifests for Kubernetes. It is a module of its own: what it
// needs is not for builds of the command.
package check

import (
	"bytes"
	"reflect"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// kinds are the kinds of objects that the manifests may have, by version and kind.
var kinds = map[string]reflect.Type{
	"apps/v1 Deployment":                 reflect.TypeFor[appsv1.Deployment](),
	"batch/v1 Job":                       reflect.TypeFor[batchv1.Job](),
	"v1 Service":                         reflect.TypeFor[corev1.Service](),
	"policy/v1 PodDisruptionBudget":      reflect.TypeFor[policyv1.PodDisruptionBudget](),
	"networking.k8s.io/v1 NetworkPolicy": reflect.TypeFor[networkingv1.NetworkPolicy](),
}

// object is one of the objects that manifests come to.
type object struct {
	kind string // with its version
	text []byte
}

// build builds the manifests of a folder as `kubectl apply -k` does.
func build(t *testing.T, files filesys.FileSystem, dir string) (objects []object) {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var head struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
		}
		if err := yaml.Unmarshal(document, &head); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object{head.APIVersion + " " + head.Kind, document})
	}
	return objects
}

// read reads each object strictly: a field that its kind does not have is an error.
func read(t *testing.T, objects []object) map[string]any {
	t.Helper()
	found := map[string]any{}
	for _, o := range objects {
		kind, known := kinds[o.kind]
		if !known {
			t.Errorf("an object is of kind %s, which this test does not know", o.kind)
			continue
		}
		into := reflect.New(kind).Interface()
		if err := yaml.UnmarshalStrict(o.text, into); err != nil {
			t.Errorf("%s: %v", o.kind, err)
		}
		found[o.kind] = into
	}
	return found
}

// TestManifests checks the manifests of servers: selectors choose the pods they are for, and
// containers run without privileges.
func TestManifests(t *testing.T) {
	found := read(t, build(t, filesys.MakeFsOnDisk(), ".."))
	if len(found) != len(kinds) {
		t.Fatalf("the manifests have %d of %d kinds", len(found), len(kinds))
	}

	server := found["apps/v1 Deployment"].(*appsv1.Deployment)
	job := found["batch/v1 Job"].(*batchv1.Job)
	labels := server.Spec.Template.Labels
	selectors := map[string]map[string]string{
		"Deployment":          server.Spec.Selector.MatchLabels,
		"Service":             found["v1 Service"].(*corev1.Service).Spec.Selector,
		"PodDisruptionBudget": found["policy/v1 PodDisruptionBudget"].(*policyv1.PodDisruptionBudget).Spec.Selector.MatchLabels,
		"NetworkPolicy":       found["networking.k8s.io/v1 NetworkPolicy"].(*networkingv1.NetworkPolicy).Spec.PodSelector.MatchLabels,
	}
	checkSelectors(t, selectors, labels, job.Spec.Template.Labels)
	checkPod(t, server.Spec.Template.Spec)
	checkPod(t, job.Spec.Template.Spec)
}

// checkSelectors checks that selectors choose pods with some labels, and none of others.
func checkSelectors(t *testing.T, selectors map[string]map[string]string, labels map[string]string, others ...map[string]string) {
	t.Helper()
	for kind, selector := range selectors {
		if !matches(selector, labels) || len(selector) == 0 {
			t.Errorf("%s selects %v, and the labels of its pods are %v", kind, selector, labels)
		}
		for _, other := range others {
			if matches(selector, other) {
				t.Errorf("%s selects the pods %v too", kind, other)
			}
		}
	}
}

// checkPod checks that a pod runs without privileges, with limits, and has no value that may
// be a secret.
func checkPod(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("a pod is given a token of the cluster")
	}
	if s := pod.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil {
		t.Error("a pod may run as root, or without a profile of system calls")
	}
	for _, c := range append(pod.InitContainers, pod.Containers...) {
		s := c.SecurityContext
		if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.Capabilities == nil || len(s.Capabilities.Drop) == 0 {
			t.Errorf("container %s has privileges", c.Name)
		}
		if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
			t.Errorf("container %s has no limits", c.Name)
		}
		for _, env := range c.Env {
			if env.Value != "" {
				t.Errorf("container %s has the value of %s in the manifest", c.Name, env.Name)
			}
		}
	}
}

// matches reports whether pods with labels are those that a selector chooses.
func matches(selector, labels map[string]string) bool {
	for name, value := range selector {
		if labels[name] != value {
			return false
		}
	}
	return true
}

// TestStrict checks that the reader refuses a field with a typing error.
func TestStrict(t *testing.T) {
	err := yaml.UnmarshalStrict([]byte("kind: Service\nspec: {selectors: {a: b}}"), &corev1.Service{})
	if err == nil {
		t.Fatal("a field that there is not was taken")
	}
}
