/* Makes supervised calls while a second thread changes what they name. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile int over;
static char path[4096];
static const char *inside, *outside;
static int number, inside_fd, outside_fd;

static void *swap_paths(void *unused)
{
	while (!over) {
		strcpy(path, inside);
		strcpy(path, outside);
	}
	return unused;
}

static void *swap_descriptors(void *unused)
{
	while (!over) {
		dup2(inside_fd, number);
		dup2(outside_fd, number);
	}
	return unused;
}

static void *swap_links(void *unused)
{
	char made[4096];
	snprintf(made, sizeof made, "%s.made", path);
	while (!over) {
		symlink(inside, made);
		rename(made, path);
		symlink(outside, made);
		rename(made, path);
	}
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	long done = 0, refused = 0, more = 500000;
	const char *what = argv[1];
	int rounds = atoi(argv[4]);
	if (argc != 5)
		return 2;
	inside = argv[2];
	outside = argv[3];
	inside_fd = open(inside, O_RDONLY);
	outside_fd = open(outside, O_RDONLY);
	number = dup(inside_fd);
	if (!strcmp(what, "paths")) {
		strcpy(path, inside);
		pthread_create(&thread, NULL, swap_paths, NULL);
	} else if (!strcmp(what, "links")) {
		snprintf(path, sizeof path, "%s.link", inside);
		symlink(inside, path);
		pthread_create(&thread, NULL, swap_links, NULL);
	} else {
		pthread_create(&thread, NULL, swap_descriptors, NULL);
	}
	/* Goes on until it has met both, since either thread may get no time for long. */
	while (rounds-- > 0 || (!(done && refused) && more-- > 0)) {
		int result = !strcmp(what, "descriptors") ? fchmod(number, 0777) : chmod(path, 0777);
		*(result ? &refused : &done) += 1;
	}
	over = 1;
	pthread_join(thread, NULL);
	printf("done %ld refused %ld\n", done, refused);
	return 0;
}
