package screen

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAJobThatClearsTheScreenTakesTheBlockAwayForASecond(t *testing.T) {
	a := play(t, 80, 24)
	a.prints(1, 30)
	a.does("at 2s")
	a.does(`prints "\x1b[H\x1b[2J"`)
	a.prints(31, 33)
	a.does("at 2.2s")
	a.does("at 3s")
	a.shows("a second later")
	a.prints(34, 60)
	a.does("ends")
	a.shows("in the end")
}

// It takes the region away as well, and then prints over the block.
func TestAJobThatResetsTheTerminalTakesTheBlockAwayForASecond(t *testing.T) {
	a := play(t, 80, 24)
	a.does("at 2s")
	a.does(`prints "\x1bc"`)
	a.prints(1, 40)
	a.does("at 3s")
	a.shows("a second later")
	a.prints(41, 43)
	a.shows("with output after it")
	a.does("ends")
	a.shows("in the end")
}

func TestATerminalOfAnotherSizeHasOneBlockAtItsBottom(t *testing.T) {
	for name, size := range map[string][2]int{"smaller": {50, 16}, "larger": {120, 40}, "lower": {80, 12}, "narrower": {30, 24}} {
		t.Run(name, func(t *testing.T) {
			a := play(t, 80, 24)
			a.prints(1, 40)
			a.does("at 2s")
			a.shows("at first")
			a.resize(size[0], size[1])
			a.does("at 2.2s")
			a.prints(41, 42)
			a.does("at 2.4s")
			a.shows("then")
			a.does("ends")
			a.shows("in the end")
			a.complete(42)
		})
	}
}

func TestInATerminalThatIsTooLowThereIsNoBlock(t *testing.T) {
	a := play(t, 80, 9)
	a.prints(1, 12)
	a.does("at 2s")
	a.complete(12)
	a.resize(80, 14)
	a.does("at 2.2s")
	a.shows("when it is higher")
	a.resize(80, 9)
	a.does("at 2.4s")
	a.complete(12)
}

// A password prompt, a question for one key.
func TestWhileSomebodyAsksTheBlockStandsStill(t *testing.T) {
	for name, mode := range map[string]string{"a password": "-echo", "a key": "-icanon"} {
		t.Run(name, func(t *testing.T) {
			a := play(t, 80, 24)
			a.prints(1, 30)
			a.does("at 2s")
			a.does(`stty %s`, mode)
			a.does(`prints "really? "`)
			a.does("at 4s")
			a.shows("while it asks")
			a.does(`prints "\n"`)
			a.does(`stty sane`)
			a.does("at 6s")
			a.shows("after it")
			a.does("ends")
			a.shows("in the end")
		})
	}
}

// Its rows are the program's, and the whole screen is its region.
func TestAFullScreenProgramHasTheWholeScreen(t *testing.T) {
	a := play(t, 80, 24)
	a.prints(1, 30)
	a.does("at 2s")
	a.does("stty -icanon -echo")
	a.does(`prints "\x1b[?1049h\x1b[H\x1b[2Jtop\x1b[24;1Hbottom"`)
	a.does("at 4s")
	a.shows("while it runs")
	a.does(`prints "\n\n\nscrolled"`)
	a.shows("when it scrolls")
	a.does(`prints "\x1b[?1049l"`)
	a.does("stty sane")
	a.does("at 6s")
	a.prints(31, 32)
	a.shows("after it")
	a.does("ends")
	a.complete(32)
}

func TestAJobThatAsksForTheCursorIsToldARowAboveTheBlock(t *testing.T) {
	a := play(t, 80, 24)
	a.prints(1, 30)
	a.does("at 2s")
	a.does("stty -icanon -echo")
	if at := a.does("row"); at != "19;1R" { // five rows of 24 are the block's
		t.Errorf("it is told %q", at)
	}
}

// Ctrl-Z: the shell finds a whole terminal, and after fg the block is there again.
func TestAStopGivesTheTerminalBack(t *testing.T) {
	a := play(t, 80, 24)
	a.prints(1, 30)
	a.does("at 2s")
	a.shows("at first")
	a.does("stops") // not really: the kernel does not stop a group that no shell watches
	a.prints(31, 33)
	a.complete(33)
	a.does("at 5s")
	a.shows("when it goes on")
	a.does("ends")
	a.complete(33)
}

func TestAPanicGivesTheTerminalBack(t *testing.T) {
	a := play(t, 80, 24)
	a.prints(1, 3)
	a.does("at 2s")
	fmt.Fprintln(a.script, "dies")
	shown := ""
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(shown, "on purpose"); time.Sleep(20 * time.Millisecond) {
		if shown = a.screen(); time.Now().After(deadline) {
			break
		}
	}
	if !strings.Contains(shown, "on purpose") || strings.Contains(shown, "mpmake:") {
		t.Errorf("it shows\n%s", shown)
	}
}
