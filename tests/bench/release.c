/*
 * The two ends of a release by the kernel, each writing the time (CLOCK_MONOTONIC, eight bytes).
 *
 *   release GROUP        the kernel starts its agent so: the time of main(), into the FIFO at STAMPS
 *   release exit FILE    the group's last task: waits for the end of its standard input, and exits; the time
 *                        just before that, into FILE, which is mapped so that nothing comes between
 *
 * Build: cc -O2 -static -DSTAMPS='"..."' -o release release.c
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static unsigned long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

int main(int argc, char **argv)
{
	unsigned long long started = now();

	if (argc == 2) {
		int stamps = open(STAMPS, O_WRONLY | O_NONBLOCK);
		return write(stamps, &started, sizeof started) == sizeof started ? 0 : 1;
	}

	int file = argc == 3 ? open(argv[2], O_RDWR) : -1;
	volatile unsigned long long *stamp =
		mmap(0, sizeof started, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	char byte;
	if (stamp == MAP_FAILED)
		return 1;
	*stamp = started;
	while (read(0, &byte, 1) > 0)
		;
	*stamp = now();
	_exit(0);
}
