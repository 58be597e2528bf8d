package workflow

// Keys are those that each kind of mapping in a file may have.
var Keys = map[string][]string{
	"file": fileKeys, "defaults": defaultKeys, "agent": agentKeys, "param": paramKeys, "retries": retryKeys, "failure": failureKeys,
	"foreach": foreachKeys, "loop": loopKeys, "state": stateKeys, "approval": approvalKeys, "step": stepKeys, "run": runKeys, "http": httpKeys, "header": headerKeys, "read": readKeys, "write": writeKeys,
	"choice": choiceKeys,
}
