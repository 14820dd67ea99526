/* Zephyr's printk, on the host. */
#include <stdio.h>
#define printk printf
