#include "parse/csv.h"

#include <gtest/gtest.h>

namespace bounced::parse {
namespace {

std::vector<std::string> split(std::string_view record) {
  CsvLine csv;
  const auto& fields = csv.split(record);
  return {fields.begin(), fields.end()};
}
using Fields = std::vector<std::string>;

TEST(Csv, SplitsAtCommasOutsideQuotes) {
  EXPECT_EQ(split("a,b,c"), (Fields{"a", "b", "c"}));
  EXPECT_EQ(split(""), (Fields{""}));
  EXPECT_EQ(split(",,"), (Fields{"", "", ""}));
  EXPECT_EQ(split("\"a,b\",c"), (Fields{"a,b", "c"}));
  EXPECT_EQ(split("\"\",x,\"\""), (Fields{"", "x", ""}));
}

TEST(Csv, HalvesDoubledQuotesAndKeepsBareOnes) {
  EXPECT_EQ(split("\"say \"\"no\"\", twice\",x"), (Fields{"say \"no\", twice", "x"}));
  EXPECT_EQ(split("\"\"\"\""), (Fields{"\""}));
  EXPECT_EQ(split("a \"b\" c,d"), (Fields{"a \"b\" c", "d"}));
  EXPECT_EQ(split("\"a\"b,c"), (Fields{"ab", "c"}));
}

TEST(Csv, AnOpenQuoteEndsWithTheRecord) {
  EXPECT_EQ(split("a,\"b,c"), (Fields{"a", "b,c"}));
  EXPECT_EQ(split("a,\""), (Fields{"a", ""}));
  EXPECT_EQ(split("a,\"b\"\"c"), (Fields{"a", "b\"c"}));
}

TEST(Csv, FindsTheLinesThatBelongToAQuotedField) {
  EXPECT_EQ(csv_continuation("a,b", "c\n", 8), 0u);
  EXPECT_EQ(csv_continuation("a,\"b", "c\",d\nnext\n", 8), 1u);
  EXPECT_EQ(csv_continuation("a,\"b", "c\nd \"\"e\"\"\nf\"\nnext\n", 8), 3u);
  EXPECT_EQ(csv_continuation("a,\"b", "c\nd\ne\n", 8), 0u) << "nothing closes it";
  EXPECT_EQ(csv_continuation("a,\"b", "c\nd\ne\"\n", 2), 0u) << "too far";
}

}  // namespace
}  // namespace bounced::parse
