/* collations.gen.c - made by collations.py; not to be edited. */
#include "collations.h"

const struct tr_charset_info tr_charsets[] = {
    {"armscii8", 1, TR_CHARSET_OTHER},
    {"ascii", 1, TR_CHARSET_ASCII},
    {"big5", 2, TR_CHARSET_OTHER},
    {"binary", 1, TR_CHARSET_BINARY},
    {"cp1250", 1, TR_CHARSET_OTHER},
    {"cp1251", 1, TR_CHARSET_OTHER},
    {"cp1256", 1, TR_CHARSET_OTHER},
    {"cp1257", 1, TR_CHARSET_OTHER},
    {"cp850", 1, TR_CHARSET_OTHER},
    {"cp852", 1, TR_CHARSET_OTHER},
    {"cp866", 1, TR_CHARSET_OTHER},
    {"cp932", 2, TR_CHARSET_OTHER},
    {"dec8", 1, TR_CHARSET_OTHER},
    {"eucjpms", 3, TR_CHARSET_OTHER},
    {"euckr", 2, TR_CHARSET_OTHER},
    {"gb18030", 4, TR_CHARSET_OTHER},
    {"gb2312", 2, TR_CHARSET_OTHER},
    {"gbk", 2, TR_CHARSET_OTHER},
    {"geostd8", 1, TR_CHARSET_OTHER},
    {"greek", 1, TR_CHARSET_OTHER},
    {"hebrew", 1, TR_CHARSET_OTHER},
    {"hp8", 1, TR_CHARSET_OTHER},
    {"keybcs2", 1, TR_CHARSET_OTHER},
    {"koi8r", 1, TR_CHARSET_OTHER},
    {"koi8u", 1, TR_CHARSET_OTHER},
    {"latin1", 1, TR_CHARSET_LATIN1},
    {"latin2", 1, TR_CHARSET_OTHER},
    {"latin5", 1, TR_CHARSET_OTHER},
    {"latin7", 1, TR_CHARSET_OTHER},
    {"macce", 1, TR_CHARSET_OTHER},
    {"macroman", 1, TR_CHARSET_OTHER},
    {"sjis", 2, TR_CHARSET_OTHER},
    {"swe7", 1, TR_CHARSET_OTHER},
    {"tis620", 1, TR_CHARSET_OTHER},
    {"ucs2", 2, TR_CHARSET_OTHER},
    {"ujis", 3, TR_CHARSET_OTHER},
    {"utf16", 4, TR_CHARSET_OTHER},
    {"utf16le", 4, TR_CHARSET_OTHER},
    {"utf32", 4, TR_CHARSET_OTHER},
    {"utf8mb3", 3, TR_CHARSET_UTF8},
    {"utf8mb4", 4, TR_CHARSET_UTF8},
};

/* First and last number, index into tr_charsets. */
const struct tr_collation_run tr_collation_runs[] = {
    {1, 1, 2}, /* big5 */
    {2, 2, 26}, /* latin2 */
    {3, 3, 12}, /* dec8 */
    {4, 4, 8}, /* cp850 */
    {5, 5, 25}, /* latin1 */
    {6, 6, 21}, /* hp8 */
    {7, 7, 23}, /* koi8r */
    {8, 8, 25}, /* latin1 */
    {9, 9, 26}, /* latin2 */
    {10, 10, 32}, /* swe7 */
    {11, 11, 1}, /* ascii */
    {12, 12, 35}, /* ujis */
    {13, 13, 31}, /* sjis */
    {14, 14, 5}, /* cp1251 */
    {15, 15, 25}, /* latin1 */
    {16, 16, 20}, /* hebrew */
    {18, 18, 33}, /* tis620 */
    {19, 19, 14}, /* euckr */
    {20, 20, 28}, /* latin7 */
    {21, 21, 26}, /* latin2 */
    {22, 22, 24}, /* koi8u */
    {23, 23, 5}, /* cp1251 */
    {24, 24, 16}, /* gb2312 */
    {25, 25, 19}, /* greek */
    {26, 26, 4}, /* cp1250 */
    {27, 27, 26}, /* latin2 */
    {28, 28, 17}, /* gbk */
    {29, 29, 7}, /* cp1257 */
    {30, 30, 27}, /* latin5 */
    {31, 31, 25}, /* latin1 */
    {32, 32, 0}, /* armscii8 */
    {33, 33, 39}, /* utf8mb3 */
    {34, 34, 4}, /* cp1250 */
    {35, 35, 34}, /* ucs2 */
    {36, 36, 10}, /* cp866 */
    {37, 37, 22}, /* keybcs2 */
    {38, 38, 29}, /* macce */
    {39, 39, 30}, /* macroman */
    {40, 40, 9}, /* cp852 */
    {41, 42, 28}, /* latin7 */
    {43, 43, 29}, /* macce */
    {44, 44, 4}, /* cp1250 */
    {45, 46, 40}, /* utf8mb4 */
    {47, 49, 25}, /* latin1 */
    {50, 52, 5}, /* cp1251 */
    {53, 53, 30}, /* macroman */
    {54, 55, 36}, /* utf16 */
    {56, 56, 37}, /* utf16le */
    {57, 57, 6}, /* cp1256 */
    {58, 59, 7}, /* cp1257 */
    {60, 61, 38}, /* utf32 */
    {62, 62, 37}, /* utf16le */
    {63, 63, 3}, /* binary */
    {64, 64, 0}, /* armscii8 */
    {65, 65, 1}, /* ascii */
    {66, 66, 4}, /* cp1250 */
    {67, 67, 6}, /* cp1256 */
    {68, 68, 10}, /* cp866 */
    {69, 69, 12}, /* dec8 */
    {70, 70, 19}, /* greek */
    {71, 71, 20}, /* hebrew */
    {72, 72, 21}, /* hp8 */
    {73, 73, 22}, /* keybcs2 */
    {74, 74, 23}, /* koi8r */
    {75, 75, 24}, /* koi8u */
    {76, 76, 39}, /* utf8mb3 */
    {77, 77, 26}, /* latin2 */
    {78, 78, 27}, /* latin5 */
    {79, 79, 28}, /* latin7 */
    {80, 80, 8}, /* cp850 */
    {81, 81, 9}, /* cp852 */
    {82, 82, 32}, /* swe7 */
    {83, 83, 39}, /* utf8mb3 */
    {84, 84, 2}, /* big5 */
    {85, 85, 14}, /* euckr */
    {86, 86, 16}, /* gb2312 */
    {87, 87, 17}, /* gbk */
    {88, 88, 31}, /* sjis */
    {89, 89, 33}, /* tis620 */
    {90, 90, 34}, /* ucs2 */
    {91, 91, 35}, /* ujis */
    {92, 93, 18}, /* geostd8 */
    {94, 94, 25}, /* latin1 */
    {95, 96, 11}, /* cp932 */
    {97, 98, 13}, /* eucjpms */
    {99, 99, 4}, /* cp1250 */
    {101, 124, 36}, /* utf16 */
    {128, 151, 34}, /* ucs2 */
    {159, 159, 34}, /* ucs2 */
    {160, 183, 38}, /* utf32 */
    {192, 215, 39}, /* utf8mb3 */
    {223, 223, 39}, /* utf8mb3 */
    {224, 247, 40}, /* utf8mb4 */
    {248, 250, 15}, /* gb18030 */
    {255, 323, 40}, /* utf8mb4 */
    {576, 578, 39}, /* utf8mb3 */
    {608, 610, 40}, /* utf8mb4 */
    {640, 642, 34}, /* ucs2 */
    {672, 674, 36}, /* utf16 */
    {736, 738, 38}, /* utf32 */
    {1025, 1025, 2}, /* big5 */
    {1027, 1027, 12}, /* dec8 */
    {1028, 1028, 8}, /* cp850 */
    {1030, 1030, 21}, /* hp8 */
    {1031, 1031, 23}, /* koi8r */
    {1032, 1032, 25}, /* latin1 */
    {1033, 1033, 26}, /* latin2 */
    {1034, 1034, 32}, /* swe7 */
    {1035, 1035, 1}, /* ascii */
    {1036, 1036, 35}, /* ujis */
    {1037, 1037, 31}, /* sjis */
    {1040, 1040, 20}, /* hebrew */
    {1042, 1042, 33}, /* tis620 */
    {1043, 1043, 14}, /* euckr */
    {1046, 1046, 24}, /* koi8u */
    {1048, 1048, 16}, /* gb2312 */
    {1049, 1049, 19}, /* greek */
    {1050, 1050, 4}, /* cp1250 */
    {1052, 1052, 17}, /* gbk */
    {1054, 1054, 27}, /* latin5 */
    {1056, 1056, 0}, /* armscii8 */
    {1057, 1057, 39}, /* utf8mb3 */
    {1059, 1059, 34}, /* ucs2 */
    {1060, 1060, 10}, /* cp866 */
    {1061, 1061, 22}, /* keybcs2 */
    {1062, 1062, 29}, /* macce */
    {1063, 1063, 30}, /* macroman */
    {1064, 1064, 9}, /* cp852 */
    {1065, 1065, 28}, /* latin7 */
    {1067, 1067, 29}, /* macce */
    {1069, 1070, 40}, /* utf8mb4 */
    {1071, 1071, 25}, /* latin1 */
    {1074, 1075, 5}, /* cp1251 */
    {1077, 1077, 30}, /* macroman */
    {1078, 1079, 36}, /* utf16 */
    {1080, 1080, 37}, /* utf16le */
    {1081, 1081, 6}, /* cp1256 */
    {1082, 1083, 7}, /* cp1257 */
    {1084, 1085, 38}, /* utf32 */
    {1086, 1086, 37}, /* utf16le */
    {1088, 1088, 0}, /* armscii8 */
    {1089, 1089, 1}, /* ascii */
    {1090, 1090, 4}, /* cp1250 */
    {1091, 1091, 6}, /* cp1256 */
    {1092, 1092, 10}, /* cp866 */
    {1093, 1093, 12}, /* dec8 */
    {1094, 1094, 19}, /* greek */
    {1095, 1095, 20}, /* hebrew */
    {1096, 1096, 21}, /* hp8 */
    {1097, 1097, 22}, /* keybcs2 */
    {1098, 1098, 23}, /* koi8r */
    {1099, 1099, 24}, /* koi8u */
    {1101, 1101, 26}, /* latin2 */
    {1102, 1102, 27}, /* latin5 */
    {1103, 1103, 28}, /* latin7 */
    {1104, 1104, 8}, /* cp850 */
    {1105, 1105, 9}, /* cp852 */
    {1106, 1106, 32}, /* swe7 */
    {1107, 1107, 39}, /* utf8mb3 */
    {1108, 1108, 2}, /* big5 */
    {1109, 1109, 14}, /* euckr */
    {1110, 1110, 16}, /* gb2312 */
    {1111, 1111, 17}, /* gbk */
    {1112, 1112, 31}, /* sjis */
    {1113, 1113, 33}, /* tis620 */
    {1114, 1114, 34}, /* ucs2 */
    {1115, 1115, 35}, /* ujis */
    {1116, 1117, 18}, /* geostd8 */
    {1119, 1120, 11}, /* cp932 */
    {1121, 1122, 13}, /* eucjpms */
    {1125, 1125, 36}, /* utf16 */
    {1147, 1147, 36}, /* utf16 */
    {1152, 1152, 34}, /* ucs2 */
    {1174, 1174, 34}, /* ucs2 */
    {1184, 1184, 38}, /* utf32 */
    {1206, 1206, 38}, /* utf32 */
    {1216, 1216, 39}, /* utf8mb3 */
    {1238, 1238, 39}, /* utf8mb3 */
    {1248, 1248, 40}, /* utf8mb4 */
    {1270, 1270, 40}, /* utf8mb4 */
    {2048, 2215, 39}, /* utf8mb3 */
    {2232, 2247, 39}, /* utf8mb3 */
    {2304, 2471, 40}, /* utf8mb4 */
    {2488, 2503, 40}, /* utf8mb4 */
    {2560, 2727, 34}, /* ucs2 */
    {2744, 2759, 34}, /* ucs2 */
    {2816, 2983, 36}, /* utf16 */
    {3000, 3015, 36}, /* utf16 */
    {3072, 3239, 38}, /* utf32 */
    {3256, 3271, 38}, /* utf32 */
};

const size_t tr_collation_run_count =
    sizeof(tr_collation_runs) / sizeof(tr_collation_runs[0]);
