package jobserver

// Elastic keeps the book of a jobserver that is our own, and whose size follows a target: how many tokens are out, that is in its pipe or in some client's
// hands. The tool that it is for may run one job without a token, so for n jobs there are n-1.
//
// To raise the target, tokens are written, and whoever waits has them at once. To lower it, those are taken that lie in the pipe, and the rest is a debt, taken when they come back: a
// client's token can't be called in, for it stands for a job that runs. Clients may be faster at the pipe than we are, so that a debt takes a while to be paid
// in a busy build. It costs little: jobs beyond what there is room for wait for a slot.
type Elastic struct {
	out  int // tokens
	want int // so many there should be
}

// Most is the most jobs that a target may be: the pipe must have room for every token.
const Most = pipeful

// Target is how many jobs may be under way where the cluster has room for so many: some more, that wait where the next slot comes free. They hide the way from the news of one end to the next
// start, and without them a home among others would never be seen to want more than it has. limit is the user's, 0 for none.
func Target(room, limit int) int {
	n := room + 1 + room/4
	if limit > 0 {
		n = min(n, limit)
	}
	return max(1, min(n, Most))
}

// Aim sets the target to n jobs, and returns how many tokens are to be written now.
func (e *Elastic) Aim(n int) (write int) {
	e.want = max(1, min(n, Most)) - 1
	write = max(0, e.want-e.out)
	e.out += write
	return write
}

// Debt is how many tokens are out that should not be.
func (e *Elastic) Debt() int { return max(0, e.out-e.want) }

// Surplus is how many of the tokens that lie in the pipe are to be taken out of it: the debt, and what there is more than the book knows of, since a token that was
// taken for lost has come back.
func (e *Elastic) Surplus(free int) int { return min(free, e.Debt()+max(0, free-e.out)) }

// Took tells that n of the tokens in the pipe were taken, where Surplus has seen so many free.
func (e *Elastic) Took(n, free int) {
	e.out -= max(0, n-max(0, free-e.out))
}

// Held is how many tokens are not in the pipe.
func (e *Elastic) Held(free int) int { return max(0, e.out-free) }

// Lost tells that n tokens are with nobody any more, and returns how many are to be written in their place.
func (e *Elastic) Lost(n int) (write int) {
	e.out -= max(0, min(n, e.out))
	return e.Aim(e.want + 1)
}

// Losses tells tokens that are lost from those that are held. A client that is killed takes its tokens with it, and no pipe says who holds one. But each that is held stands for a
// job that runs, so that tokens beyond the jobs are lost. Jobs and tokens can't be counted in one moment, so only what was missing at each of many looks in a row is.
type Losses struct {
	looks, least int
}

// patience is how many looks it takes.
const patience = 8

// Look tells how many tokens are held beyond what could hold them, and returns how many are lost for sure.
func (l *Losses) Look(missing int) (lost int) {
	if missing <= 0 {
		*l = Losses{}
		return 0
	}
	if l.looks++; l.looks == 1 || missing < l.least {
		l.least = missing
	}
	if l.looks < patience {
		return 0
	}
	lost = l.least
	*l = Losses{}
	return lost
}
