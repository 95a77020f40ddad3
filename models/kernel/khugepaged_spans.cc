// What khugepaged does, as spans: activations, in them visits to processes, in these its scans and (collapse.h) ranges.
#include "models/kernel/khugepaged.h"

namespace collapsar {

void Khugepaged::draw(std::string_view name, Time begin, Time end, SpanNote first, SpanNote second) const {
  if (kernel_.spans && end > begin) kernel_.spans->add({{"khugepaged"}, name, begin, end, {first, second}});
}

void Khugepaged::draw_visit() const {
  if (!kernel_.spans) return;
  kernel_.spans->add({{"khugepaged"},
                      "process",
                      took_up_at_,
                      kernel_.queue.now(),
                      {SpanNote::count("process", scan_.mm_slot->mm->pid())},
                      /*is_named_by_note=*/true});
}

// Requires: it is about to end, if one is under way.
void Khugepaged::draw_activation() const {
  const Time now = kernel_.queue.now();
  if (state_ == State::alloc_sleep) draw("alloc sleep", alloc_sleep_from_, now, {});
  if (state_ != State::scanning && state_ != State::alloc_sleep) return;
  draw("activation", woke_at_, now, SpanNote::count("progress", progress_), SpanNote::count("pages_to_scan", budget_));
}

void Khugepaged::cut_spans() {
  if (state_ == State::scanning && scan_.mm_slot) draw_visit();
  draw_activation();
}

}  // namespace collapsar
