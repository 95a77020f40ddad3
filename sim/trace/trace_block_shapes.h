// ShapeNumbers: a number for each shape of a block: all of a reference but its address, traces/README.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>

namespace collapsar {

inline constexpr std::uint8_t kEscape = 255;    // code of a shape that is written out
inline constexpr std::size_t kMaxShapes = 255;  // codes 0 to 254
inline constexpr std::uint8_t kShapeCodes = 0, kShapeOne = 1,
                              kShapePlanes = 2;  // how the shapes of a block are written

// A block has few, but neighbours differ: a small table remembers the last answers of the map.
class ShapeNumbers {
 public:
  static constexpr std::uint32_t kNone = ~0u;
  std::uint32_t of(std::uint64_t shape) {
    Answer& answer = answers_[slot(shape)];
    if (answer.shape != shape) {
      const auto it = numbers_.find(shape);
      answer = {shape, it == numbers_.end() ? kNone : it->second};
    }
    return answer.number;
  }
  void set(std::uint64_t shape, std::uint32_t number) {
    numbers_[shape] = number;
    answers_[slot(shape)] = {shape, number};
  }

 private:
  struct Answer {
    std::uint64_t shape = 0;
    std::uint32_t number = kNone;
  };
  static std::size_t slot(std::uint64_t shape) { return static_cast<std::size_t>(shape * 0x9E3779B97F4A7C15ULL >> 55); }
  std::unordered_map<std::uint64_t, std::uint32_t> numbers_;
  std::array<Answer, 512> answers_{};
};

}  // namespace collapsar
