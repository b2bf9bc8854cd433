package main

import "testing"

func TestMountOf(t *testing.T) {
	t.Parallel()
	const mounts = `/dev/sda1 / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
/dev/sdb1 /tmp/disk xfs rw 0 0
`
	for path, want := range map[string]string{
		"/var/lib":        "ext4 on /dev/sda1",
		"/tmp":            "tmpfs on tmpfs",
		"/tmp/a":          "tmpfs on tmpfs",
		"/tmp/disk/a/b":   "xfs on /dev/sdb1",
		"/tmp/diskette/a": "tmpfs on tmpfs",
		"/tmpfiles":       "ext4 on /dev/sda1",
	} {
		if got := mountOf(path, mounts); got != want {
			t.Errorf("%s is on %q, want %q", path, got, want)
		}
	}
	if got := mountOf("/tmp", ""); got != "unknown" {
		t.Errorf("without a list of mounts: %q", got)
	}
}
