/* Connects and speaks at once while a second thread changes the address or the descriptor. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static volatile int over;
static volatile int number;
static struct sockaddr_un address;
static const char *inside, *outside;
static int swaps_addresses;

static void *disturb(void *unused)
{
	while (!over) {
		if (swaps_addresses) {
			strcpy(address.sun_path, inside);
			strcpy(address.sun_path, outside);
		}
		/* Speaks as soon as anybody listens. */
		send(number, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	struct sockaddr_un own = { .sun_family = AF_UNIX };
	int listener, round, done = 0;
	if (argc != 5)
		return 2;
	swaps_addresses = !strcmp(argv[1], "addresses");
	inside = argv[2];
	outside = argv[3];
	strcpy(own.sun_path, inside);
	unlink(inside);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(listener, (void *)&own, sizeof own) || listen(listener, 128))
		return 3;
	address.sun_family = AF_UNIX;
	strcpy(address.sun_path, outside);
	number = -1;
	pthread_create(&thread, NULL, disturb, NULL);
	for (round = 0; round < atoi(argv[4]); round++) {
		number = socket(AF_UNIX, SOCK_STREAM, 0);
		done += !connect(number, (void *)&address, sizeof address);
		usleep(100);
		close(number);
	}
	over = 1;
	pthread_join(thread, NULL);
	printf("done %d\n", done);
	return 0;
}
