/* The exec family, on the best node of the cluster.
 *
 * Each function is the one of exec(3) or execve(2) without its m, but that the program runs on whichever node suits it best, exactly as
 * if it had been executed here. They return only where exec would: -1, and errno says why. See mexec(3).
 *
 * All may be called in the child of vfork(2). mexecl, mexecle, mexecv, mexecve and execvme may be called in a signal handler. */
#ifndef MEXEC_H
#define MEXEC_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MEXEC_SENTINEL(at) __attribute__((__sentinel__(at)))
#else
#define MEXEC_SENTINEL(at)
#endif

int mexecl(const char *path, const char *arg, ... /* , (char *)NULL */) MEXEC_SENTINEL(0);
int mexecle(const char *path, const char *arg, ... /* , (char *)NULL, char *const envp[] */) MEXEC_SENTINEL(1);
int mexeclp(const char *file, const char *arg, ... /* , (char *)NULL */) MEXEC_SENTINEL(0);
int mexecv(const char *path, char *const argv[]);
int mexecve(const char *path, char *const argv[], char *const envp[]);
int mexecvp(const char *file, char *const argv[]);
int mexecvpe(const char *file, char *const argv[], char *const envp[]);

/* The original's names for two of them. There, mexecvp did not really execute, so that a program with vfork needed mexecxvp. */
int execvme(const char *path, char *const argv[], char *const envp[]); /* mexecve */
int mexecxvp(const char *file, char *const argv[]);                    /* mexecvp */

#undef MEXEC_SENTINEL
#ifdef __cplusplus
}
#endif

#endif
