// Which thread was on which CPU, as spans, and in these its page faults and system calls. Who sleeps in the kernel is on no
// CPU: what is drawn of such a call ends there.
#include "models/cpu/scheduler_thread.h"

namespace collapsar {

void Scheduler::enter_kernel(Thread& t, std::string_view why, SpanNote note) {
  if (!spans_) return;
  t.in_kernel = why, t.in_kernel_note = note, t.in_kernel_since = queue_.now();
}

void Scheduler::leave_kernel(Thread& t) const {
  if (spans_ && t.cpu && !t.in_kernel.empty())
    spans_->add({{"CPU", t.cpu->cpu->id()}, t.in_kernel, t.in_kernel_since, queue_.now(), {t.in_kernel_note}});
  t.in_kernel = {};
}

// Requires: it is on a CPU.
void Scheduler::draw_thread(const Thread& t) const {
  if (!spans_) return;
  const SpanTrack cpu{"CPU", t.cpu->cpu->id()};
  if (!t.in_kernel.empty())
    spans_->add(
        {cpu, t.in_kernel, t.in_kernel_since, queue_.now(), {t.in_kernel_note, SpanNote::word("ends", "sleeps")}});
  spans_->add({cpu,
               "process",
               t.on_cpu_since,
               queue_.now(),
               {SpanNote::count("process", t.pid), SpanNote::count("thread", t.tid)},
               /*is_named_by_note=*/true});
}

void Scheduler::cut_spans() {
  for (const auto& c : cpus_)
    if (c->thread) draw_thread(*c->thread);
}

}  // namespace collapsar
