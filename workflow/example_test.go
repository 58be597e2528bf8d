package workflow_test

import (
	"fmt"

	"github.com/claude-force/claude-force/workflow"
)

const exampleFile = `
name: Code Quality Check
params: {path: {default: ., description: what to review}}
steps:
  - id: linter
    agent: linter
    task: Check code style of ${{ params.path }}
  - id: type-check
    agent: type-checker
    task: Check types of ${{ params.path }}
  - id: review
    agent: code-reviewer
    task: |
      Final review. The linter said:
      ${{ steps.linter.output }}
    dependencies: [type-check]
`

func Example() {
	w, err := workflow.Parse("check.yaml", []byte(exampleFile), workflow.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(w.Text())

	params, err := w.BindParams(map[string]string{"path": "./cmd"})
	if err != nil {
		fmt.Println(err)
		return
	}
	review := w.Step("review")
	task, err := review.Task.Render(workflow.Env{
		Params: params,
		Steps:  map[string]workflow.StepResult{"linter": {Output: "no findings", Status: "completed"}},
	})
	fmt.Println(task, err)
	fmt.Println("to append:", review.Unmentioned())
	// Output:
	// Code Quality Check
	//
	// 1 ┬─ linter      linter
	//   └─ type-check  type-checker
	// 2 ── review      code-reviewer  ← type-check, linter
	//
	// 3 steps in 2 levels, 2 side by side at most
	// Final review. The linter said:
	// no findings
	//  <nil>
	// to append: [type-check]
}

func ExampleErrors() {
	_, err := workflow.Parse("check.yaml", []byte(`
steps:
  - {id: linter, agent: linter, task: "Check ${{ params.path }}"}
  - {id: review, agent: code-reviewer, task: Final review, dependencies: [lintr]}
`), workflow.Options{})
	fmt.Println(err)
	// Output:
	// check.yaml:3:57: unknown parameter "path" (declare it under params)
	// check.yaml:4:75: unknown dependency "lintr" (did you mean "linter"?)
}
