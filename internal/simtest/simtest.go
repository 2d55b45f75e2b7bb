// Package simtest simulates placement: the production code of internal/place, unchanged, on clusters of 2 to 10,000 nodes, beside other ways to place
// jobs and beside an ideal that no distributed scheduler can have.
//
// A run is a Shape (the cluster, its network, its jobs, what breaks), a scheduler and a seed, and these three determine all of it: it is one queue of
// events in virtual time, on one goroutine. Schedulers are compared on the same jobs at the same moments, and start them through one door, which
// checks what must hold whoever schedules: the limits of slots and of memory, that each job ends once, that nobody starves, and of ours also
// fairness and that work is conserved. What breaks is in Result.Problems, with the seed; Result.Repeat is the command that shows it again.
//
// What a run leaves out: programs and their files, what the daemons compute, bandwidth. A message takes the network's delay and nothing else, so a
// figure here is what placement costs beyond the ideal, and not what a build takes.
package simtest
