// A second thread writes to each of 3000 pages. With an argument a child follows, which becomes another program.
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGES = 3000 };
static char* area;

static void* touch(void* unused) {
  for (int i = 0; i < PAGES; ++i) area[4096L * i] = 1;
  usleep(100000);  // whoever joins waits in the kernel, and is written to there after this thread has gone
  return unused;
}

int main(int argc, char** argv) {
  area = mmap(0, 4096L * PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_t thread;
  if (pthread_create(&thread, 0, touch, 0)) return 1;
  pthread_join(thread, 0);
  if (argc > 1) {
    if (fork() == 0) {
      memset(area, 2, 4096L * 100);
      execl("/bin/true", "true", (char*)0);
    }
    wait(0);
  }
  puts("done");
  return 0;
}
