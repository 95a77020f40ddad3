#include "models/mem/dram.h"

#include <algorithm>
#include <array>
#include <bit>
#include <deque>
#include <limits>
#include <stdexcept>

#include "models/mem/dram_channel.h"

namespace collapsar {
namespace {

using Cycle = DramChannel::Cycle;
constexpr unsigned kLineShift = 6;
constexpr std::uint64_t kRows =
    65'536;  // per bank: 8 Gb x8 DDR4 and 16 Gb x8 DDR5 (JESD79-4, JESD79-5 addressing tables)

enum FieldName : std::uint8_t { kRow, kBank, kRank, kColumn, kChannel, kFields };
constexpr std::array<std::string_view, kFields> kFieldNames{"Ro", "Ba", "Ra", "Co", "Ch"};

// The fields from low to high; nullopt if `mapping` is not the five of them, each once.
std::optional<std::array<FieldName, kFields>> parse_mapping(std::string_view mapping) {
  std::array<FieldName, kFields> low_to_high{};
  unsigned seen = 0;
  if (mapping.size() != 2 * kFields) return std::nullopt;
  for (unsigned i = 0; i < kFields; ++i) {
    const auto name = std::find(kFieldNames.begin(), kFieldNames.end(), mapping.substr(2 * i, 2));
    if (name == kFieldNames.end()) return std::nullopt;
    low_to_high[kFields - 1 - i] = static_cast<FieldName>(name - kFieldNames.begin());
    seen |= 1U << (name - kFieldNames.begin());
  }
  if (seen != (1U << kFields) - 1) return std::nullopt;
  return low_to_high;
}

struct Location {
  std::uint32_t channel, bank;  // bank: of the channel, ranks side by side
  std::uint64_t row;
};

// Which channel, bank and row an address lies in. The bank field's lowest bits are the bank group.
class AddressMap {
 public:
  AddressMap(const DramConfig& config, const DramTiming& timing)
      : order_(parse_mapping(config.mapping).value()), banks_(timing.banks()) {
    sizes_[kRow] = order_[kFields - 1] == kRow ? ~0ULL : kRows;
    sizes_[kBank] = timing.banks();
    sizes_[kRank] = config.ranks;
    sizes_[kColumn] = timing.lines_per_row;
    sizes_[kChannel] = std::uint64_t{config.channels} * timing.sub_channels;
  }
  using Fields = std::array<std::uint64_t, kFields>;

  Fields fields_of(PhysAddr address) const {
    std::uint64_t rest = address.value >> kLineShift;
    Fields fields;
    for (const FieldName name : order_) {
      const std::uint64_t size = sizes_[name];
      if (std::has_single_bit(size)) {
        fields[name] = rest & (size - 1);
        rest >>= std::countr_zero(size);
      } else {
        fields[name] = rest % size;
        rest /= size;
      }
    }
    return fields;
  }
  // On to the next line, as an odometer.
  void step(Fields& fields) const {
    for (const FieldName name : order_) {
      if (++fields[name] < sizes_[name]) return;
      fields[name] = 0;
    }
  }
  Location location(const Fields& fields) const {
    return {std::uint32_t(fields[kChannel]), std::uint32_t(fields[kRank] * banks_ + fields[kBank]), fields[kRow]};
  }
  Location locate(PhysAddr address) const { return location(fields_of(address)); }

 private:
  std::array<FieldName, kFields> order_;
  std::array<std::uint64_t, kFields> sizes_{};
  std::uint32_t banks_;
};

}  // namespace

struct Dram::Impl {
  Impl(Dram& dram, const DramConfig& config);
  DramPart& new_part(DramRequest* request, const Location& location, bool is_write);
  void submit_line(DramRequest* request, PhysAddr address, bool is_write);
  void submit_bulk(DramRequest& request);

  Dram& dram;
  AddressMap map;
  std::deque<DramPart> pool;  // grows to the most that ever waited
  DramPart* free_parts = nullptr;
  std::uint64_t next_age = 0;
  std::deque<DramChannel> channels;
};

Dram::Impl::Impl(Dram& owner, const DramConfig& config) : dram(owner), map(config, owner.timing_) {
  for (std::uint32_t i = 0; i < config.channels * owner.timing_.sub_channels; ++i)
    channels.emplace_back(owner, owner.queue_, owner.timing_, config);
}

DramPart& Dram::Impl::new_part(DramRequest* request, const Location& location, bool is_write) {
  if (!free_parts) free_parts = &pool.emplace_back();
  DramPart& part = *free_parts;
  free_parts = part.next;
  part = {request, location.row, next_age, location.bank, 1, is_write, nullptr};
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
  AddressMap::Fields fields = map.fields_of(request.address);
  for (std::uint32_t i = 0; i < request.lines; ++i, map.step(fields)) {
    const Location location = map.location(fields);
    std::size_t k = 0;
    while (k < parts && !(targets[k].channel == location.channel && targets[k].part->bank == location.bank &&
                          targets[k].part->row == location.row))
      ++k;
    if (k < parts) ++targets[k].part->lines;
    else targets[parts++] = {location.channel, &new_part(&request, location, request.is_write)};
  }
  request.parts_left = std::uint32_t(parts);
  const Cycle now = dram.timing_.cycle_not_before(dram.queue_.now());
  for (std::size_t k = 0; k < parts; ++k) channels[targets[k].channel].accept(*targets[k].part, now);
  for (std::size_t k = 0; k < parts; ++k) channels[targets[k].channel].work(now);
}

void Dram::Impl::submit_line(DramRequest* request, PhysAddr address, bool is_write) {
  const Location location = map.locate(address);
  const Cycle now = dram.timing_.cycle_not_before(dram.queue_.now());
  DramChannel& channel = channels[location.channel];
  channel.accept(new_part(request, location, is_write), now);
  channel.work(now);
}

void Dram::part_served(DramPart& part, std::int64_t data_end) {
  DramRequest* const request = part.request;
  part.next = impl_->free_parts;
  impl_->free_parts = &part;
  if (!request) {
    ++stats_.completed;
    return;
  }
  request->finished = std::max(request->finished, timing_.time_of(data_end + controller_latency_));
  if (--request->parts_left == 0) answer(*request);
}

void Dram::answer(DramRequest& request) {
  ++stats_.completed;
  if (request.lines == 1 && !request.is_write) stats_.latency.add(request.finished - request.submitted);
  if (request.done) queue_.schedule(*request.done, request.finished);
}

void DramConfig::validate() const {
  if (!DramTiming::find(standard))
    throw std::invalid_argument(fmt::format("standard: unknown \"{}\" (known: {})", standard, DramTiming::known()));
  if (!parse_mapping(mapping))
    throw std::invalid_argument(fmt::format(
        "mapping: found \"{}\", expected Ro Ba Ra Co Ch, each once, in any order, such as RoBaRaCoCh", mapping));
  if (channels == 0 || channels > 64)
    throw std::invalid_argument(fmt::format("channels: found {}, expected 1 to 64", channels));
  if (ranks == 0 || ranks > 16) throw std::invalid_argument(fmt::format("ranks: found {}, expected 1 to 16", ranks));
  if (queue == 0) throw std::invalid_argument("queue: found 0, expected at least 1");
  if (ideal && *ideal < Duration::zero()) throw std::invalid_argument("ideal: found a negative time");
}

Dram::Dram(EventQueue& queue, const DramConfig& config)
    : queue_(queue),
      ideal_(config.ideal),
      controller_latency_(config.controller_latency),
      timing_(*DramTiming::find(config.standard)),
      impl_(ideal_ ? nullptr : std::make_unique<Impl>(*this, config)) {}

Dram::~Dram() = default;

void Dram::submit(DramRequest& request) {
  SIM_ASSERT(request.lines > 0 && ((request.address.value & (kPageBytes - 1)) >> kLineShift) + request.lines <= 64,
             "request of {} lines at {:#x} leaves its frame", request.lines, request.address.value);
  ++stats_.submitted;
  (request.is_write ? stats_.writes : stats_.reads) += request.lines;
  request.submitted = request.finished = queue_.now();
  if (ideal_) {
    request.finished += *ideal_;
    return answer(request);
  }
  ++impl_->next_age;
  if (request.lines > 1) return impl_->submit_bulk(request);
  request.parts_left = 1;
  impl_->submit_line(&request, request.address, request.is_write);
}

void Dram::post_write(PhysAddr address) {
  ++stats_.submitted;
  ++stats_.writes;
  if (ideal_) {
    ++stats_.completed;
    return;
  }
  ++impl_->next_age;
  impl_->submit_line(nullptr, address, true);
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
  return timing_.time_of(controller_latency_ + timing_.rcd + timing_.cl + timing_.burst) - kTimeZero;
}

double Dram::peak_bandwidth() const {
  if (ideal_) return std::numeric_limits<double>::infinity();
  const double line_ps = double(timing_.burst) * double(timing_.period_ps) / double(timing_.period_divisor);
  return double(impl_->channels.size()) * 64e12 / line_ps;
}

}  // namespace collapsar
