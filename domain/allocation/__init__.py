"""Allocation: the resources one attempt holds, from grant to release; a gang is one."""
