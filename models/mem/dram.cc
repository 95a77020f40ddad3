#include "models/mem/dram.h"

#include <algorithm>
#include <array>
#include <deque>
#include <limits>
#include <utility>

#include "models/mem/dram_channel.h"
#include "models/mem/dram_map.h"

namespace collapsar {
namespace {

using Cycle = DramChannel::Cycle;
constexpr unsigned kLineShift = 6;

}  // namespace

struct Dram::Impl {
  Impl(Dram& dram, const DramConfig& config);
  DramPart& new_part(DramRequest* request, const DramMap::Location& location, PhysAddr address, bool is_write);
  void submit_line(DramRequest* request, PhysAddr address, bool is_write, Time arrives);
  void submit_bulk(DramRequest& request);

  Dram& dram;
  DramMap map;
  std::deque<DramPart> pool;  // grows to the most that ever waited
  DramPart* free_parts = nullptr;
  std::uint64_t next_age = 0;
  std::deque<DramChannel> channels;
};

Dram::Impl::Impl(Dram& owner, const DramConfig& config) : dram(owner), map(config, owner.timing_) {
  const std::uint32_t count = config.channels * owner.timing_.sub_channels;
  for (std::uint32_t i = 0; i < count; ++i)
    channels.emplace_back(owner, owner.queue_, owner.timing_, config, i, count, map.alternates_groups());
}

DramPart& Dram::Impl::new_part(DramRequest* request, const DramMap::Location& location, PhysAddr address,
                               bool is_write) {
  if (!free_parts) free_parts = &pool.emplace_back();
  DramPart& part = *free_parts;
  free_parts = part.next;
  part.request = request;
  part.row = location.row, part.line = address.value >> kLineShift, part.age = 0;
  part.bank = location.bank, part.lines = 1;
  part.is_write = is_write, part.outcome = DramPart::Outcome::none;
  return part;
}

// One part per row that the lines lie in; all are complete before the first is served.
void Dram::Impl::submit_bulk(DramRequest& request) {
  struct Target {
    std::uint32_t channel;
    DramPart* part;
  };
  static constexpr std::size_t kMostParts = 64;  // lines of a frame
  std::array<Target, kMostParts> targets;
  std::size_t parts = 0;
  DramMap::Position at = map.position(request.address);
  for (std::uint32_t i = 0; i < request.lines; ++i, map.step(at)) {
    const DramMap::Location location = map.location(at);
    std::size_t k = 0;
    while (k < parts && !(targets[k].channel == location.channel && targets[k].part->bank == location.bank &&
                          targets[k].part->row == location.row))
      ++k;
    if (k < parts) ++targets[k].part->lines;
    else targets[parts++] = {location.channel, &new_part(&request, location, request.address, request.is_write)};
  }
  request.parts_left = std::uint32_t(parts);
  const Cycle now = dram.timing_.cycle_not_before(dram.queue_.now());
  ++next_age;
  for (std::size_t k = 0; k < parts; ++k) {
    targets[k].part->age = next_age, targets[k].part->arrives = now;
    channels[targets[k].channel].announce(*targets[k].part);
  }
}

void Dram::Impl::submit_line(DramRequest* request, PhysAddr address, bool is_write, Time arrives) {
  const DramMap::Location location = map.locate(address);
  DramPart& part = new_part(request, location, address, is_write);
  part.arrives = dram.timing_.cycle_not_before(arrives);
  channels[location.channel].announce(part);
}

void Dram::part_served(DramPart& part, std::int64_t data_end) {
  DramRequest* const request = part.request;
  part.next = impl_->free_parts;
  impl_->free_parts = &part;
  if (!request) {
    ++stats_.completed;
    return;
  }
  request->finished = std::max(request->finished, timing_.time_of(data_end + config_.controller_latency));
  if (--request->parts_left == 0) answer(*request);
}

void Dram::answer(DramRequest& request) {
  ++stats_.completed;
  if (request.lines == 1 && !request.is_write) stats_.latency.add(request.finished - request.submitted);
  if (!request.done) return;
  const bool is_due = answers_here_ && request.finished == queue_.now();
  if (is_due && !due_) {
    due_ = request.done;
    return;
  }
  if (is_due) queue_.schedule(*std::exchange(due_, nullptr), request.finished);  // several: in order
  queue_.schedule(*request.done, request.finished);
}

Dram::AnswersHere::~AnswersHere() {
  dram_.answers_here_ = false;
  Event* const due = std::exchange(dram_.due_, nullptr);
  if (!due) return;
  EventQueue& queue = dram_.queue_;
  if (queue.is_next(due->phase())) queue.run_here(*due);
  else queue.schedule(*due, queue.now());
}

std::uint64_t Dram::next_age() { return ++impl_->next_age; }

void Dram::catch_up() {
  if (!impl_) return;
  const Cycle now = timing_.cycle_not_before(queue_.now());
  for (DramChannel& channel : impl_->channels) channel.catch_up(now);
}

Dram::Dram(EventQueue& queue, const DramConfig& config)
    : queue_(queue),
      config_(config),
      ideal_(config.ideal),
      timing_(config.effective_timing()),
      impl_(ideal_ ? nullptr : std::make_unique<Impl>(*this, config_)) {}

Dram::~Dram() = default;

void Dram::submit(DramRequest& request, Time arrives) {
  SIM_ASSERT(request.lines > 0 && ((request.address.value & (kPageBytes - 1)) >> kLineShift) + request.lines <= 64,
             "request of {} lines at {:#x} leaves its frame", request.lines, request.address.value);
  ++stats_.submitted;
  (request.is_write ? stats_.writes : stats_.reads) += request.lines;
  request.submitted = request.finished = std::max(arrives, queue_.now());
  if (ideal_) {
    request.finished += *ideal_;
    return answer(request);
  }
  if (request.lines > 1) return impl_->submit_bulk(request);
  request.parts_left = 1;
  impl_->submit_line(&request, request.address, request.is_write, request.submitted);
}

void Dram::post_write(PhysAddr address) {
  ++stats_.submitted;
  ++stats_.writes;
  if (ideal_) {
    ++stats_.completed;
    return;
  }
  impl_->submit_line(nullptr, address, true, queue_.now());
}

void Dram::log_commands(std::vector<std::vector<DramCommandRecord>>& logs) {
  logs.resize(impl_->channels.size());
  for (std::size_t i = 0; i < logs.size(); ++i) impl_->channels[i].log_to(&logs[i]);
}

std::uint64_t Dram::held() const {
  if (ideal_) return 0;
  std::vector<const DramPart*> idle;
  for (const DramPart* p = impl_->free_parts; p; p = p->next) idle.push_back(p);
  std::sort(idle.begin(), idle.end());
  std::vector<const DramRequest*> requests;
  std::uint64_t posted = 0;
  for (const DramPart& part : impl_->pool) {
    if (std::binary_search(idle.begin(), idle.end(), &part)) continue;
    if (part.request) requests.push_back(part.request);
    else ++posted;
  }
  std::sort(requests.begin(), requests.end());
  return posted + std::uint64_t(std::unique(requests.begin(), requests.end()) - requests.begin());
}

Duration Dram::unloaded_read() const {
  if (ideal_) return *ideal_;
  return timing_.time_of(config_.controller_latency + timing_.rcd + timing_.cl + timing_.burst) - kTimeZero;
}

double Dram::peak_bandwidth() const {
  if (ideal_) return std::numeric_limits<double>::infinity();
  const double line_ps = double(timing_.burst) * double(timing_.period_ps) / double(timing_.period_divisor);
  return double(impl_->channels.size()) * 64e12 / line_ps;
}

}  // namespace collapsar
