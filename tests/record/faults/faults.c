// SPDX-License-Identifier: GPL-2.0
/* Breaks its kernel on purpose: insmod faults.ko fault=bug */

#include <linux/delay.h>
#include <linux/module.h>
#include <linux/string.h>

/* As long as a watchdog with its shortest times needs. */
#define SPIN_SECONDS 30

static char *fault = "";
module_param(fault, charp, 0);

static noinline void faults_write(unsigned long address)
{
	*(volatile int *)address = 1;
}

static noinline void faults_spin(void)
{
	int second;

	preempt_disable();
	for (second = 0; second < SPIN_SECONDS; second++)
		mdelay(1000);
	preempt_enable();
}

static int __init faults_init(void)
{
	if (!strcmp(fault, "warning"))
		WARN(1, "faults: told to warn\n");
	else if (!strcmp(fault, "bug"))
		BUG();
	else if (!strcmp(fault, "null"))
		faults_write(8);
	else if (!strcmp(fault, "protection"))
		faults_write(0xdead000000000100); /* Not canonical. */
	else if (!strcmp(fault, "spin"))
		faults_spin();
	else
		return -EINVAL;
	return 0;
}

static void __exit faults_exit(void)
{
}

module_init(faults_init);
module_exit(faults_exit);
MODULE_DESCRIPTION("Breaks its kernel on purpose");
MODULE_LICENSE("GPL");
