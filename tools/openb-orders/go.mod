module berth/tools/openb-orders

go 1.19
