package vm

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAVMThatSaysNothingIsEnded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go watchFiles(ctx, time.Minute, func() { t.Error("stopped, though it had just said something") }, file)
	if err := os.WriteFile(file, []byte("begun"), 0o600); err != nil {
		t.Fatal(err)
	}
	go watchFiles(ctx, 50*time.Millisecond, func() { close(stopped) }, file, file+".none")
	select {
	case <-stopped:
	case <-time.After(time.Minute):
		t.Error("it goes on, though nothing is said")
	}
	cancel()
}
