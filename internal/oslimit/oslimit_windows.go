package oslimit

import "golang.org/x/sys/windows"

var (
	full      = []error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL}
	fileSize  = []error{windows.ERROR_FILE_TOO_LARGE}
	openFiles = []error{windows.ERROR_TOO_MANY_OPEN_FILES}
)

// FewFiles reports whether this process may have so few files open that none should stay
// open between two uses.
func FewFiles() bool { return false }

func free(path string) (uint64, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, err
	}
	var bytes uint64
	err = windows.GetDiskFreeSpaceEx(name, &bytes, nil, nil)
	return bytes, err
}
