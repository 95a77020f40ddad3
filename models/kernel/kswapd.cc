// When reclaim works: kswapd in the background, direct reclaim for one allocation, page_out for MADV_PAGEOUT.
#include "models/kernel/reclaim_worker.h"

namespace collapsar {

// --- starting ---

void Reclaim::wake_kswapd_if_low() {
  if (kernel_.memory.free_pages() < kernel_.memory.watermarks().low) wake_kswapd();
}

void Reclaim::wake_kswapd() {
  Worker& kswapd = *workers_.front();
  if (kswapd.busy || kswapd.failures >= kMostFailures) return;
  if (kernel_.memory.free_pages() > kernel_.memory.watermarks().high || lru_.entries() == 0) return;
  kswapd.busy = true;
  kswapd.began = kernel_.queue.now();
  kswapd.since_progress = 0;
  next_batch(kswapd);
}

bool Reclaim::kswapd_runs() const { return workers_.front()->busy; }

void Reclaim::direct_reclaim(DirectReclaim& request) {
  ++kernel_.stats.vmstat.allocstall;
  Worker& worker = new_worker();
  worker.kind = Worker::Kind::direct;
  worker.request = &request;
  request.made_progress = false;
  next_batch(worker);
}

Duration Reclaim::page_out(const std::vector<Pfn>& pages, Event& done) {
  Worker& worker = new_worker();
  worker.kind = Worker::Kind::page_out;
  worker.done = &done;
  Batch batch{.worker = worker};
  for (Pfn page : pages) {
    const Pfn pfn = kernel_.memory.head_of(page);
    const bool was_huge = kernel_.memory.frame(pfn).is(Frame::kHead);
    page_out_one(pfn, batch);
    if (!was_huge || kernel_.memory.frame(pfn).is(Frame::kHead)) continue;
    for (std::uint64_t i = 0; i < kHugePages; ++i) page_out_one(pfn + i, batch);  // it was split: now its parts
  }
  flush(batch);
  worker.waiting = true;
  if (worker.writes == 0) finish(worker);
  return batch.extra + kernel_.config.costs.reclaim_page * std::int64_t(batch.looked_at);
}

void Reclaim::page_out_one(Pfn pfn, Batch& batch) {
  if (!kernel_.memory.frame(pfn).is(Frame::kLru)) return;
  ++batch.looked_at;
  settle(pfn, evict(pfn, batch, true));
}

Reclaim::Worker& Reclaim::new_worker() {
  Worker* worker = nullptr;
  for (std::size_t i = 1; i < workers_.size() && !worker; ++i)
    if (!workers_[i]->busy) worker = workers_[i].get();
  if (!worker) worker = workers_.emplace_back(std::make_unique<Worker>(*this)).get();
  worker->busy = true;
  worker->waiting = worker->others_freed = false;
  worker->since_progress = worker->freed = worker->sent = worker->writes = 0;
  worker->debt = {};
  worker->began = kernel_.queue.now();
  return *worker;
}

// --- one batch after the other ---

void Reclaim::next_batch(Worker& worker) {
  worker.waiting = false;
  worker.batch_began = kernel_.queue.now();
  const auto planned = std::int64_t(std::min(kSwapClusterMax, lru_.entries()));
  const Duration cost = kernel_.config.costs.reclaim_page * planned + worker.debt;
  worker.debt = {};
  kernel_.queue.schedule_after(worker.scan_done_, cost);
}

void Reclaim::batch_done(Worker& worker) {
  Batch batch{.worker = worker, .cpu = worker.request ? worker.request->cpu : kNoCpu};
  const std::uint64_t sent_before = worker.sent;
  shrink(batch);
  draw_batch(batch);
  VmStat& vm = kernel_.stats.vmstat;
  const bool is_kswapd = worker.kind == Worker::Kind::kswapd;
  (is_kswapd ? vm.pgscan_kswapd : vm.pgscan_direct) += batch.scanned;
  (is_kswapd ? vm.pgsteal_kswapd : vm.pgsteal_direct) += batch.freed;
  worker.freed += batch.freed;
  worker.debt += batch.extra;
  const bool progress = batch.freed > 0 || worker.sent > sent_before;
  worker.since_progress = progress ? 0 : worker.since_progress + std::max(batch.scanned, kSwapClusterMax);
  if (progress) worker.failures = 0;
  if (is_kswapd) return kswapd_go_on(worker);
  go_on(worker);
}

namespace {
// Every page has been looked at four times (aged, accessed, referenced, once to spare) without one going.
bool is_exhausted(std::uint64_t since_progress, std::uint64_t lru_pages) { return since_progress > 4 * lru_pages; }
}  // namespace

void Reclaim::go_on(Worker& worker) {
  const bool enough = worker.freed + worker.sent >= worker.request->pages_wanted;
  const bool exhausted = is_exhausted(worker.since_progress, lru_.pages());
  if (!enough && !exhausted) return next_batch(worker);
  worker.waiting = true;
  const bool others_write = worker.freed == 0 && swap_cache_.writes_in_flight() > 0;
  if (worker.writes == 0 && !others_write) finish(worker);
}

void Reclaim::kswapd_go_on(Worker& kswapd) {
  const std::uint64_t coming = swap_cache_.writes_in_flight();
  const std::uint64_t free = kernel_.memory.free_pages(), high = kernel_.memory.watermarks().high;
  if (free > high) return finish(kswapd);
  if (is_exhausted(kswapd.since_progress, lru_.pages())) {
    kswapd.failures += coming == 0;
    return finish(kswapd);
  }
  if (free + coming > high || coming >= kMostWrites) {
    kswapd.waiting = true;
    return;
  }
  next_batch(kswapd);
}

void Reclaim::finish(Worker& worker) {
  worker.busy = worker.waiting = false;
  const Time paid = kernel_.queue.now() + worker.debt;
  draw(worker, worker.kind == Worker::Kind::direct ? paid : kernel_.queue.now());
  switch (worker.kind) {
    case Worker::Kind::kswapd: ++kswapd_sleeps_; return;
    case Worker::Kind::page_out: return kernel_.queue.schedule(*worker.done, kernel_.queue.now());
    case Worker::Kind::direct:
      worker.request->made_progress = worker.freed > 0 || worker.others_freed;
      if (worker.request->made_progress) workers_.front()->failures = 0;
      return kernel_.queue.schedule(*std::exchange(worker.request, nullptr)->done, paid);
  }
}

// --- writes ---

void Reclaim::start_write(Pfn pfn, Worker& worker) {
  if (free_writings_.empty()) {
    free_writings_.push_back(writings_.emplace_back(std::make_unique<Writing>(*this)).get());
  }
  Writing& writing = *free_writings_.back();
  free_writings_.pop_back();
  writing.worker = &worker;
  writing.pages = lru_.pages_of(pfn);
  ++worker.writes;
  worker.sent += writing.pages;
  swap_cache_.start_write(pfn, &writing.write);
}

void Reclaim::write_done(Writing& writing) {
  Worker& owner = *writing.worker;
  --owner.writes;
  if (writing.write.freed) {
    VmStat& vm = kernel_.stats.vmstat;
    (owner.kind == Worker::Kind::kswapd ? vm.pgsteal_kswapd : vm.pgsteal_direct) += writing.pages;
    owner.freed += writing.pages;
  }
  free_writings_.push_back(&writing);
  for (std::size_t i = 0; i < workers_.size(); ++i) {  // not by iterator: a finished worker may be asked for more
    Worker& worker = *workers_[i];
    if (!worker.busy || !worker.waiting) continue;
    if (worker.kind == Worker::Kind::kswapd) {
      kswapd_go_on(worker);
    } else if (worker.writes == 0) {
      worker.others_freed |= &worker != &owner && writing.write.freed;
      finish(worker);
    }
  }
}

}  // namespace collapsar
