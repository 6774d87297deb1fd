-- One engine frame is one tick. Its number stands in the window as 16 cells, most significant bit first, in a row at the
-- top and one at the bottom; the log has the same number with the camera, the player and the held controls of that frame.
local CELLS = 16
local WHITE = "blank.png^[noalpha^[colorize:#ffffff:255"
local BLACK = "blank.png^[noalpha^[colorize:#000000:255"
-- Per cent of the window: a sixteenth of its width, two of its 196 rows (a little more, against rounding down).
local SCALE = {x = -6.26, y = -1.1}
local CONTROLS = {"up", "down", "left", "right", "jump", "sneak", "aux1", "dig", "place"}

local counter, ids, shown = 0, nil, {}

local function draw(player)
	if not ids then
		ids = {}
		for row = 0, 1 do
			for cell = 0, CELLS - 1 do
				ids[#ids + 1] = player:hud_add({
					hud_elem_type = "image", text = BLACK, scale = SCALE, z_index = 1000,
					position = {x = cell / CELLS, y = row}, alignment = {x = 1, y = row == 0 and 1 or -1},
					offset = {x = 0, y = 0},
				})
			end
		end
	end
	local rest = counter
	for cell = CELLS - 1, 0, -1 do
		local text = rest % 2 == 1 and WHITE or BLACK
		rest = math.floor(rest / 2)
		if shown[cell] ~= text then
			shown[cell] = text
			player:hud_change(ids[cell + 1], "text", text)
			player:hud_change(ids[cell + 1 + CELLS], "text", text)
		end
	end
end

minetest.register_globalstep(function(dtime)
	local player, camera = minetest.localplayer, minetest.camera
	if not player or not camera then
		return
	end
	counter = (counter + 1) % 65536
	draw(player)
	local pos, control, bits = player:get_pos(), player:get_control(), ""
	for _, name in ipairs(CONTROLS) do
		bits = bits .. (control[name] and "1" or "0")
	end
	minetest.log("action", string.format("REVERIE frame %d %.4f %.3f %.3f %.3f %.4f %.4f %s %d", counter, dtime,
		pos.x, pos.y, pos.z, math.deg(camera:get_look_horizontal()), math.deg(camera:get_look_vertical()), bits,
		player:get_wield_index()))
end)
