// What a benchmark measures by: CPU time of all threads of this process.
#pragma once

#include <sys/resource.h>

namespace collapsar {

// User time so far.
inline double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return double(used.ru_utime.tv_sec) + 1e-6 * double(used.ru_utime.tv_usec);
}

}  // namespace collapsar
