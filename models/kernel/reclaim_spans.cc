// What reclaim does, as spans: each worker from its start to its end, in it the batches; the gaps are waits for writes.
#include "models/kernel/reclaim_worker.h"

namespace collapsar {

namespace {

constexpr std::string_view kKswapd = "kswapd", kDirect = "direct reclaim", kPageOut = "MADV_PAGEOUT";

}  // namespace

// Workers of a pool come and go: its place tells one from the others.
SpanTrack Reclaim::track_of(const Worker& worker) const {
  const auto is_it = [&](const auto& w) { return w.get() == &worker; };
  const auto number = std::uint32_t(std::find_if(workers_.begin(), workers_.end(), is_it) - workers_.begin());
  switch (worker.kind) {
    case Worker::Kind::kswapd: return {kKswapd};
    case Worker::Kind::direct: return {kDirect, number - 1};
    case Worker::Kind::page_out: return {kPageOut, number - 1};
  }
  return {};
}

void Reclaim::draw(const Worker& worker, Time end) const {
  if (!kernel_.spans) return;
  const SpanTrack track = track_of(worker);
  kernel_.spans->add({track, track.name, worker.began, end});
}

void Reclaim::draw_batch(const Batch& batch) const {
  if (!kernel_.spans) return;
  kernel_.spans->add({track_of(batch.worker),
                      "batch",
                      batch.worker.batch_began,
                      kernel_.queue.now(),
                      {SpanNote::count("scanned", batch.scanned), SpanNote::count("freed", batch.freed)}});
}

void Reclaim::cut_spans() {
  for (const auto& worker : workers_)
    if (worker->busy) draw(*worker, kernel_.queue.now());
}

}  // namespace collapsar
