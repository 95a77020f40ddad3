#include "sim/core/error.h"

#include <cstdio>
#include <cstdlib>

#include "sim/core/event_queue.h"

namespace collapsar {

// The one place in a library that prints: the process ends here.
void assertion_failed(const char* file, int line, const char* condition, const std::string& message) {
  std::string when;
  if (const EventQueue* queue = EventQueue::running())
    when =
        fmt::format(" (simulated time {}, event {})", to_text(queue->now().time_since_epoch()), queue->current_name());
  std::fputs(fmt::format("{}:{}: {}: broken: {}{}\n", file, line, message, condition, when).c_str(), stderr);
  std::fflush(stderr);
  std::abort();
}

}  // namespace collapsar
