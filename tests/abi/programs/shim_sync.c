/* Loaded before the C library: notes each fdatasync in the file SYNCS, and fails while the file BROKEN is
 * there. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int fdatasync(int fd)
{
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  int log = open(getenv("SYNCS"), O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (write(log, ".", 1) != 1)
    abort();
  close(log);
  if (access(getenv("BROKEN"), F_OK) == 0)
  {
    errno = EIO;
    return -1;
  }
  return real(fd);
}
