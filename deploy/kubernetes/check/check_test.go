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

// TestManifests builds the manifests as `kubectl apply -k` does, and reads each object
// strictly: a field that its kind does not have is an error. Selectors choose the pods they
// are for, and containers run without privileges.
func TestManifests(t *testing.T) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]any{}
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var head struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
		}
		if err := yaml.Unmarshal(document, &head); err != nil {
			t.Fatal(err)
		}
		name := head.APIVersion + " " + head.Kind
		kind, known := kinds[name]
		if !known {
			t.Errorf("an object is of kind %s, which this test does not know", name)
			continue
		}
		object := reflect.New(kind).Interface()
		if err := yaml.UnmarshalStrict(document, object); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		found[name] = object
	}
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
	for kind, selector := range selectors {
		if !matches(selector, labels) || len(selector) == 0 {
			t.Errorf("%s selects %v, and the pods of servers are %v", kind, selector, labels)
		}
		if matches(selector, job.Spec.Template.Labels) {
			t.Errorf("%s selects the pods of the migration too", kind)
		}
	}
	for _, pod := range []corev1.PodSpec{server.Spec.Template.Spec, job.Spec.Template.Spec} {
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
