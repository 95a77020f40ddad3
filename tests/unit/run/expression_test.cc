#include "sim/run/expression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace collapsar {
namespace {

double value(std::string_view text) {
  return evaluate(text, [](std::string_view name) -> double {
    if (name == "mmu.walks@4k") return 10;
    if (name == "mmu.walks@huge-pages") return 4;
    if (name == "refs") return 100;
    throw std::invalid_argument("unknown");
  });
}

std::string expression_refusal(std::string_view text) {
  try {
    names_in(text);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Expression, ProductsBindCloserThanSumsAndBothGoLeftToRight) {
  EXPECT_EQ(value("2 + 3 * 4"), 14);
  EXPECT_EQ(value("(2 + 3) * 4"), 20);
  EXPECT_EQ(value("20 - 5 - 3"), 12);
  EXPECT_EQ(value("20 / 5 / 2"), 2);
  EXPECT_EQ(value("-2 * -3"), 6);
  EXPECT_EQ(value("0.5"), 0.5);
}

TEST(Expression, NamesStandForNumbersOfAVariantOrOfTheBaseline) {
  EXPECT_EQ(value("mmu.walks@4k / refs"), 0.1);
  EXPECT_EQ(value("100*(1-mmu.walks@huge-pages/mmu.walks@4k)"), 60);
  EXPECT_EQ(value("mmu.walks@huge-pages - mmu.walks@4k"), -6);
  EXPECT_THAT(names_in("mmu.walks@4k / refs + mmu.walks@4k"), testing::ElementsAre("mmu.walks@4k", "refs"));
}

TEST(Expression, ABrokenOneSaysWhereAndWhatWouldBeRight) {
  EXPECT_EQ(expression_refusal(""), "found the end at character 1; write a number, a name or a bracket");
  EXPECT_EQ(expression_refusal("1 + "), "found the end at character 5; write a number, a name or a bracket");
  EXPECT_EQ(expression_refusal("(1 + 2"), "found the end at character 7; write a closing bracket");
  EXPECT_EQ(expression_refusal("1 2"), "found '2' at character 3; write +, -, *, / or the end");
  EXPECT_EQ(expression_refusal("refs@"), "found the end at character 6; write the name of a variant");
  EXPECT_EQ(expression_refusal("1 + %"), "found '%' at character 5; write a number, a name or a bracket");
}

}  // namespace
}  // namespace collapsar
