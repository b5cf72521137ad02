-- Text of each character set; cp1251 and ucs2 go by the `invalid` rule.
CREATE DATABASE g; USE g; SET timestamp=1764000000;
CREATE TABLE c (id INT PRIMARY KEY, l VARCHAR(300) CHARACTER SET latin1, lc CHAR(5) CHARACTER SET latin1,
  a VARCHAR(100) CHARACTER SET ascii, u3 VARCHAR(100) CHARACTER SET utf8mb3, u4 VARCHAR(100) CHARACTER SET utf8mb4,
  c4 CHAR(5) CHARACTER SET utf8mb4, w VARCHAR(10) CHARACTER SET cp1251, u2 TEXT CHARACTER SET ucs2,
  el ENUM('é','€') CHARACTER SET latin1, ew ENUM('ж','я') CHARACTER SET cp1251,
  sw SET('ж','я') CHARACTER SET cp1251, bin TEXT CHARACTER SET binary, c300 CHAR(100) CHARACTER SET utf8mb4);
INSERT INTO c (id,l) VALUES (1,x'2021222324252627282a5c5f7e7f'),
 (2,x'808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f'),
 (3,x'a0a1bfc0d7dfe9f7ff'),(4,x'000a22e922410d');
INSERT INTO c VALUES (5,'Ärger €','été','plain ASCII','ü€ŵ','😀 𝔘 \u0000x','日本語','жя','жя','€','я','ж,я','bytes','c'),
 (6,'','','','','','','','','é','ж','','',''),
 (7,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
UPDATE c SET w='я', u2='x', l='é' WHERE id=5;
