-- mysql56_temporal_format=OFF: the old layouts, without fractions.
-- server: --mysql56-temporal-format=OFF
CREATE DATABASE g; USE g; SET timestamp=1764000000; SET sql_mode=''; SET time_zone='+00:00';
CREATE TABLE o (id INT PRIMARY KEY, t TIME, d DATETIME, s TIMESTAMP NULL, da DATE);
INSERT INTO o VALUES (1,'-12:13:14','2024-01-02 03:04:05','2024-01-02 03:04:05','2024-02-03'),
 (2,'838:59:59','9999-12-31 23:59:59','2038-01-19 03:14:07','9999-12-31'),(3,0,0,0,0),(4,NULL,NULL,NULL,NULL),
 (5,'-838:59:59','2024-00-00 00:00:00','1970-01-01 00:00:01','2024-00-00');
